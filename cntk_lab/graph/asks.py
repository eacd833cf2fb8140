"""What an operator's rules may ask for, by the names of their parameters: one table for all rules of all operators.

``forward=lambda xp, x, axis: ...`` asks for the array module, the operand ``x`` and the attribute ``axis``. A name that
the table does not have is refused when the operator is declared; whoever calls rules gives what stands here. Knows no
operator, no graph and no array.

Idea: pytest's fixtures, which a test asks for by name, with the names closed.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cntk_lab.errors import GraphError

Rule = Callable[..., Any]

GIVEN: dict[str, str] = {
    "node": "the node whose types are inferred",
    "hopeful": "how much may be guessed of shapes that nothing says yet: 0 nothing, 2 most",
    "training": "whether this is training, not evaluation",
    "xp": "the array module: NumPy, or CuPy on a GPU",
    "layout": "where the sequences lie among the rows of the step; None without dynamic axes",
    "layouts": "the same for each operand, in their order",
    "run": "the run itself: arrays, layouts, notes",
    "target": "the buffer that the result goes to: row symbol, static shape, element type",
    "drawing": "the random stream of the node, for what is drawn once for all rows",
    "random": "the random stream of the node, for what is drawn for each element",
    "is_needed_later": "whether gradients of the node are computed in the same run",
    "dy": "the gradient of the first output",
    "y": "the first output",
    "position": "which of a variadic operand's values the gradient is for, from 0",
}
"""Name -> meaning, of what is given beside an operator's own names."""

OPERAND, ATTRIBUTE, SETTLED, NAMED = "an operand", "an attribute", "a settled attribute", "a name of the table"
OUTPUT, SLOPE, SAVED = "an output", "the gradient of an output", "a value saved by forward"


@dataclass(frozen=True, slots=True)
class Scope:
    """What rules of one kind are given: some of :data:`GIVEN`, and names that the operator itself has.

    Args:
        operands: as what operands come (``types``, ``expressions``, ``arrays``); empty: not at all.
        attributes: whether the attributes of the use are given.
        settled: whether what ``resolve`` settled is given too.
        given: names of :data:`GIVEN`.
        results: whether outputs and saved values are given by their names, and gradients of outputs as ``d_`` with the
            name.
    """

    operands: str = "types"
    attributes: bool = True
    settled: bool = False
    given: frozenset[str] = frozenset()
    results: bool = False


_ON_ARRAYS = frozenset({"xp", "training", "layout", "layouts", "run"})
_FORWARD = _ON_ARRAYS | {"target", "drawing", "random", "is_needed_later"}
_NODE = frozenset({"node"})
_FORMULA = Scope("expressions", settled=True, given=frozenset({"training"}))

SCOPES: dict[str, Scope] = {
    "count": Scope(""),
    "types": Scope("", attributes=False, given=_NODE),
    "axes": Scope(given=_NODE),
    "dtype": Scope(given=_NODE),
    "sparse": Scope(given=_NODE),
    "complete": Scope(given=_NODE),
    "partial": Scope(given=_NODE | {"hopeful"}),
    "resolve": Scope(given=_NODE),
    "shape": Scope(settled=True, given=_NODE),
    "views": Scope(settled=True, given=_NODE),
    "contraction": Scope(settled=True, given=_NODE),
    "formula": _FORMULA,
    "inference": _FORMULA,
    "updates": _FORMULA,
    "derivative": Scope("expressions", settled=True, given=frozenset({"dy", "y"})),
    "moves": Scope("", settled=True),
    "forward": Scope("arrays", settled=True, given=_FORWARD),
    "gradient": Scope("arrays", settled=True, given=_ON_ARRAYS | {"dy", "y", "position"}, results=True),
}
"""Kind of rule (a field of ``OpDef``) -> what such rules are given."""


@dataclass(frozen=True, slots=True)
class Own:
    """The names that one operator has of its own."""

    operands: Collection[str] = ()
    attributes: Collection[str] = ()
    settled: Collection[str] = ()
    outputs: Collection[str] = ()
    saved: Collection[str] = ()

    def sort(self, kind: str, name: str) -> str | None:
        """What a name means in rules of a kind (``OPERAND``, ``SAVED``, ...); None if it means nothing there."""
        return self.names(kind).get(name)

    def names(self, kind: str) -> dict[str, str]:
        """Every name that rules of a kind may ask for -> what it means there."""
        scope = SCOPES[kind]
        found: dict[str, str] = {}
        if scope.attributes:
            found |= dict.fromkeys(self.attributes, ATTRIBUTE)
        if scope.settled:
            found |= dict.fromkeys(self.settled, SETTLED)
        if scope.results:
            found |= dict.fromkeys(self.outputs, OUTPUT)
        if scope.operands:
            found |= dict.fromkeys(self.operands, OPERAND)
        if scope.results:
            found |= dict.fromkeys(self.saved, SAVED)
            found |= {f"d_{name}": SLOPE for name in self.outputs}
        return found | {name: NAMED for name in scope.given if found.get(name) != OPERAND}


def check(operator: str, own: Own, rules: Iterable[tuple[str, str, Rule]]) -> None:
    """See that rules ask only for what they are given.

    Args:
        operator: name of the operator.
        own: the names that it has of its own.
        rules: kind, what the rule is for (an operand, or empty), and the rule.

    Raises:
        GraphError: naming the operator, the rule, the unknown name and the known ones.
    """
    taken = GIVEN.keys() & {*own.attributes, *own.settled}
    if taken:
        raise GraphError(
            f"operator {operator}: its attribute '{min(taken)}' has a name that means {GIVEN[min(taken)]}",
            f"the declaration of {operator}",
            "give the attribute another name",
        )
    for kind, of, rule in rules:
        known = own.names(kind)
        for name in needs(rule):
            if name not in known:
                words = f"{kind} of '{of}'" if of else kind
                raise GraphError(
                    f"operator {operator}: its rule {words} asks for '{name}', which such rules are not given",
                    f"the declaration of {operator}",
                    f"ask for one of {', '.join(sorted(known))}; what 'resolve' settles must stand in 'settles'",
                )


@cache
def needs(rule: Rule) -> tuple[str, ...]:
    """The names of a rule's parameters: what it reads."""
    if type(rule) is types.FunctionType and not rule.__dict__ and not rule.__code__.co_flags & _OPEN:
        code = rule.__code__
        return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]  # a hundred times as fast
    return tuple(inspect.signature(rule).parameters)


_OPEN = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


def apply(rule: Rule, scope: Mapping[str, Any]) -> Any:
    """Call a rule with what it asks for by name."""
    return rule(*(scope[n] for n in needs(rule)))

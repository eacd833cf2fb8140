"""What was asked of a function before: its plan, its arguments, and the captured steps that answered.

A program evaluates the same function again and again. What follows from the question alone is found once, and holds as
long as its basis does (``captured``, which also says what is left to do for a repeated question).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from cntk_lab.engine.arrays.run import State
from cntk_lab.engine.ask.captured import Basis, Captures
from cntk_lab.engine.cpu.binding import Binding
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.tiers.tier import Bound
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.layout import Layout

_KEPT = 128
_GROUPS = (list, tuple, set, frozenset)
Key = tuple[object, ...]


def key_of(kind: object, *things: Any) -> Key | None:
    """What tells one question from another; None if it has odd parts.

    Args:
        kind: what kind of question it is.
        things: who is asked, and for what: nothing, variables, Functions, or groups of these.
    """
    parts: list[object] = [kind]
    for thing in things:
        if thing is None or isinstance(thing, (Variable, Function)):
            parts.append(thing if thing is None else id(thing))
        elif type(thing) in _GROUPS and all(isinstance(t, (Variable, Function)) for t in thing):
            parts.append(tuple(map(id, thing)))
        else:
            return None
    return tuple(parts)


class Asked:
    """A question: what is wanted of a function, the plan that computes it, and the arguments that it needs.

    Args:
        at: how often something had changed before the plan was looked for.
        wanted: what is wanted.
        bound: the plan that computes it, ready for its device.
        variables: the arguments.
        state: random streams and carried frames of the function.
    """

    def __init__(
        self,
        at: int,
        wanted: Wanted,
        bound: Bound,
        variables: Sequence[Variable],
        state: State,
    ) -> None:
        self.wanted, self.bound, self.variables = wanted, bound, variables
        self.plan, self.state = bound.plan, state
        self._basis = Basis(bound.plan, at)
        self.outputs = (*wanted.outputs, *wanted.roots)
        """What the arguments are for, as messages name it."""
        self.results = [
            *((f"gradient {i}", v) for i, v in enumerate(wanted.gradients)),
            *((f"output {i}", v) for i, v in enumerate(wanted.outputs)),
        ]
        """What the wanted values are called in the plan, with their variables: gradients first."""
        self._captures = Captures(variables, [self.plan.outputs.get(name, -1) for name, _ in self.results])

    @property
    def current(self) -> bool:
        """Whether all but data and parameters is as it was, constants whose numbers stand in formulas included."""
        return self._basis.holds

    def again(self, arguments: Any, *, as_numpy: bool) -> list[Any] | None:
        """The wanted values the short way; None if there is none for these data, and then nothing has been done."""
        found = self._captures.again(arguments)
        return None if found is None else found[0].values(found[1], as_numpy=as_numpy)

    def learn(self, binding: Binding, layouts: Mapping[str, Layout]) -> None:
        """Remember the short way after a run that went the general way, if there is one."""
        self._captures.learn(self._basis, binding, layouts)


class Memory:
    """The last questions."""

    def __init__(self) -> None:
        self._asked: OrderedDict[Key, tuple[Asked, object]] = OrderedDict()

    def find(self, key: Key | None) -> Asked | None:
        """What was asked before, if nothing has changed since."""
        found = self._asked.get(key) if key is not None else None
        return found[0] if found is not None and found[0].current else None

    def keep(self, key: Key | None, asked: Asked, *things: Any) -> None:
        """Remember a question; the things that its key names are kept too, so that their ids stay theirs."""
        if key is None:
            return
        self._asked[key] = asked, [tuple(t) if isinstance(t, _GROUPS) else t for t in things]
        self._asked.move_to_end(key)
        while len(self._asked) > _KEPT:
            self._asked.popitem(last=False)

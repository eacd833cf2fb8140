"""What rules ask for by name: one table, which declarations are checked against and which callers keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

import cntk_lab
from cntk_lab.engine.arrays import interpreter
from cntk_lab.engine.make import backward, lower
from cntk_lab.engine.passes import shaping
from cntk_lab.errors import GraphError
from cntk_lab.graph import asks, infer, registry
from cntk_lab.graph.opdef import CntkRule, OpDef, OpParameter
from cntk_lab.graph.variable import Parameter
from tests.contracts.test_every_op import SMOOTH, use

OPS = list(registry.all_ops())
PLANNED = {"is_needed_later", "dy", "y", "position"}
"""Names on arrays that the plan knows; the others are given with every run."""


def declare(**rules: Any) -> OpDef:
    parameters = (OpParameter("x", operand=True), OpParameter("rate", operand=False, default=0.5))
    return OpDef("halve", "tensor", parameters, "", CntkRule("Halve"), **rules)


def test_an_unknown_name_is_refused_when_the_operator_is_declared() -> None:
    with pytest.raises(GraphError) as caught:
        declare(forward=lambda xp, x, ratio: xp.multiply(x, ratio))
    assert str(caught.value) == (
        "operator halve: its rule forward asks for 'ratio', which such rules are not given\n"
        "  where: the declaration of halve\n"
        "  fix:   ask for one of drawing, is_needed_later, layout, layouts, random, rate, run, target, training, x, "
        "xp; what 'resolve' settles must stand in 'settles'"
    )


@pytest.mark.parametrize(
    "rules",
    [
        {"gradient": {"x": lambda dy, d_other: dy + d_other}},
        {"gradient": {"x": lambda dy, random: dy}},
        {"shape": lambda x, xp: x.dims},
        {"formula": lambda x, node: x},
        {"resolve": lambda x: {"at": 0}, "shape": lambda x, at: x.dims},
        {"count": lambda x: 1},
        {"forward": lambda *everything: everything},
    ],
    ids=["no such output", "drawn again", "types have no arrays", "formulas have no node", "not settled", "count", "*"],
)
def test_each_kind_of_rule_has_names_of_its_own(rules: Any) -> None:
    with pytest.raises(GraphError, match=r"operator halve: its rule .* asks for"):
        declare(**rules)


def test_names_of_the_operator_are_known_to_its_rules() -> None:
    op = declare(
        forward=lambda xp, x, rate, at: (x, x),
        gradient={"x": lambda dy, y, d_y, mask, x, at: dy},
        resolve=lambda x, rate: {"at": 0},
        settles=("at",),
        saved=("mask",),
    )
    assert op.own.sort("gradient", "mask") == asks.SAVED
    assert op.own.sort("gradient", "d_y") == asks.SLOPE
    assert op.own.sort("forward", "mask") is None


def test_an_attribute_has_no_name_of_the_table() -> None:
    parameters = (OpParameter("x", operand=True), OpParameter("training", operand=False, default=False))
    with pytest.raises(GraphError, match="attribute 'training' has a name that means whether this is training"):
        OpDef("halve", "tensor", parameters, "", CntkRule("Halve"))


class Same(cntk_lab.ops.functions.UserFunction):
    """What a user function asks for is in the table too."""

    def infer_outputs(self) -> list[Any]:
        return [cntk_lab.output_variable(x.shape, x.dtype, x.dynamic_axes) for x in self.inputs]


def test_every_name_of_the_table_is_asked_for_by_an_operator() -> None:
    ops = [*OPS, Same([cntk_lab.input_variable(2)]).node.op]
    asked = {name for op in ops for _, _, rule in op.rules() for name in asks.needs(rule)}
    assert set(asks.GIVEN) <= asked


def test_the_interpreter_gives_what_the_table_promises() -> None:
    promised = asks.SCOPES["forward"].given | asks.SCOPES["gradient"].given
    assert set(interpreter.GIVEN) == promised - PLANNED


def test_rules_are_given_what_the_table_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: dict[int, list[tuple[OpDef, str]]] = {}
    for op in OPS:
        for kind, _, rule in op.rules():
            kinds.setdefault(id(rule), []).append((op, kind))
    seen: set[str] = set()

    def apply(rule: Callable[..., Any], scope: Mapping[str, Any]) -> Any:
        uses = kinds[id(rule)]
        for kind in {k for _, k in uses}:
            promised = asks.SCOPES[kind].given
            assert promised <= scope.keys(), f"{kind} of {uses[0][0].name} misses {promised - scope.keys()}"
            seen.add(kind)
        return asks.apply(rule, scope)

    for module in (infer, lower, backward, shaping):
        monkeypatch.setattr(module, "apply", apply)
    for case in {c.op: c for c in SMOOTH}.values():
        made = use(case)
        made.function.eval(made.data)
        made.function.grad(made.data, wrt=made.variables)
    cntk_lab.times(cntk_lab.input_variable(3), Parameter((cntk_lab.InferredDimension, 2)))
    on_arrays, without_an_operator_here = {"forward", "gradient"}, {"count", "types", "moves"}
    assert seen >= set(asks.SCOPES) - on_arrays - without_an_operator_here

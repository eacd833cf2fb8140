"""Contracts that every operator keeps, taken from its declaration and run over its samples.

Whoever declares an operator with samples is tested: nothing here knows operators by name. What a sample says (shapes,
attributes, which operands are parameters) is run with a batch axis and with a ragged sequence axis. The gradient is
checked by a random projection: for random numbers r and d, the derivative of sum(r * f(x + t d)) at t = 0, once from
the gradients and once from finite differences in float64 (autograd's ``check_grads``).
"""

from __future__ import annotations

import inspect
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import cntk_lab  # noqa: F401  (registers all operators)
from cntk_lab import settings
from cntk_lab.axis import Axis
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.errors import AxisError
from cntk_lab.graph import declare, registry
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import OpDef, Reals, Sample, Trait
from cntk_lab.graph.variable import INPUT, Parameter, Variable, input_type

BATCH, SEQUENCE = "batch", "sequence"
LENGTHS = (2, 1, 3)
"""Frames of the three sequences; with the batch axis there are three samples."""

OPS = list(registry.all_ops())
WITH_SAMPLES = [op for op in OPS if op.samples]


@dataclass(frozen=True)
class Case:
    """One sample of one operator with one kind of dynamic axes."""

    op: OpDef
    number: int
    axes: str

    @property
    def sample(self) -> Sample:
        return self.op.samples[self.number]

    def __str__(self) -> str:
        return f"{self.op.name}-{self.number}-{self.axes}"


def _cases() -> Iterator[Case]:
    for op in WITH_SAMPLES:
        for i, sample in enumerate(op.samples):
            if not _wants_a_sequence(Case(op, i, BATCH)):
                yield Case(op, i, BATCH)
            if sample.sequence and len(sample.parameters) < len(sample.shapes):
                yield Case(op, i, SEQUENCE)


def _wants_a_sequence(case: Case) -> bool:
    """Whether the operator refuses operands without a sequence axis, in words that say so."""
    try:
        use(case)
    except AxisError as error:
        return "sequence axis" in str(error)
    return False


# ---- one use of an operator with random numbers


def _numbers(facts: Reals, shape: tuple[int, ...], random: np.random.Generator, operand: int) -> np.ndarray[Any, Any]:
    if facts.one_hot:
        rows = random.integers(0, shape[-1] if shape else 1, shape[:-1])
        return np.eye(shape[-1] if shape else 1)[rows].reshape(shape)
    if facts.whole:
        return random.integers(int(facts.low), int(facts.high) + 1, shape).astype(np.float64)
    values = random.uniform(facts.low, facts.high, shape)
    if facts.distinct:
        # an operand's numbers lie in the middle of the gaps of the others
        places = (random.permutation(values.size) + 0.5 + 0.3 * operand) / max(values.size, 1)
        values = (facts.low + (facts.high - facts.low) * places).reshape(shape)
    for kink in facts.avoid:
        near = np.abs(values - kink) < 0.05
        values = np.where(near, kink + 0.1, values)
    return values.astype(np.float32).astype(np.float64)


@dataclass
class Use:
    """The operator applied to inputs and parameters, and the numbers that are fed."""

    function: Function
    inputs: list[Variable]
    parameters: list[Parameter]
    data: dict[Variable, Any]
    whole: dict[Variable, bool]

    @property
    def variables(self) -> list[Variable]:
        return [*self.inputs, *self.parameters]


def use(case: Case, dtype: str = "float64") -> Use:
    """The operator of a case built anew: the same numbers in every element type."""
    op, sample = case.op, case.sample
    random = np.random.default_rng(zlib.crc32(str(case).encode()))
    axes = (Axis.default_batch_axis(), *([Axis.default_dynamic_axis()] if case.axes == SEQUENCE else []))
    names = [p.name for p in op.operands]
    operands: list[Variable] = []
    made = Use(None, [], [], {}, {})  # type: ignore[arg-type]
    for i, shape in enumerate(sample.shapes):
        facts = op.domain.get(names[min(i, len(names) - 1)], Reals())
        if i in sample.parameters:
            parameter = Parameter(shape, init=_numbers(facts, shape, random, i).astype(dtype), dtype=dtype)
            made.parameters.append(parameter)
            made.whole[parameter] = facts.whole
            operands.append(parameter)
            continue
        variable = Variable(INPUT, input_type(shape, dtype, axes, sparse=False), f"x{i}", needs_gradient=True)
        rows = sum(LENGTHS) if case.axes == SEQUENCE else len(LENGTHS)
        frames = _numbers(facts, (rows, *shape), random, i).astype(dtype)
        made.data[variable] = np.split(frames, np.cumsum(LENGTHS)[:-1]) if case.axes == SEQUENCE else frames
        made.inputs.append(variable)
        made.whole[variable] = facts.whole
        operands.append(variable)
    attributes = {p.name: p.default for p in op.attributes if p.default is not inspect.Parameter.empty}
    made.function = declare.use(op, operands, {**attributes, **sample.attributes})
    return made


CASES = list(_cases())
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def _flat(value: Any) -> np.ndarray[Any, Any]:
    """A value in the user's form as one vector: sequences one after the other."""
    if isinstance(value, dict):
        return np.concatenate([_flat(v) for v in value.values()])
    if isinstance(value, list):
        return np.concatenate([np.ravel(_dense(v)) for v in value])
    return np.ravel(_dense(value))


def _dense(value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value, np.float64)


def _evaluated(made: Use) -> np.ndarray[Any, Any]:
    return _flat(made.function.eval(made.data))


# ---- contracts


@each_case
def test_the_shape_rule_says_what_comes_out(case: Case) -> None:
    made = use(case, "float32")
    values = made.function.eval(made.data)
    for output in made.function.outputs:
        value = values[output] if isinstance(values, dict) else values
        dims, axes = output.type.dims, output.type.axes
        assert axes is not None
        if output.type.sparse:
            continue  # SciPy's matrices are flat
        rows = list(value) if isinstance(value, list) else [value]
        for row in rows:
            shape = np.shape(row)
            leading = len(shape) - len(dims)
            assert leading == (1 if axes else 0), f"{shape} for static {dims} with dynamic axes {axes}"
            assert all(d in (have, -3) for d, have in zip(dims, shape[leading:], strict=True)), (
                f"{shape} instead of {dims}"
            )
        if axes and not isinstance(value, list):
            assert len(value) == len(LENGTHS), f"{len(value)} samples"
        assert all(np.asarray(r).dtype == np.dtype(output.type.dtype) for r in rows)


@each_case
def test_single_precision_agrees_with_double(case: Case) -> None:
    single, double = _evaluated(use(case, "float32")), _evaluated(use(case, "float64"))
    np.testing.assert_allclose(single, double, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", [c for c in CASES if not use(c).function.outputs[0].type.sparse], ids=str)
def test_half_precision_runs(case: Case) -> None:
    half, double = _evaluated(use(case, "float16")), _evaluated(use(case, "float64"))
    if np.isfinite(half).all() and not case.op.has(Trait.RANDOM) and not case.op.has(Trait.NO_GRADIENT):
        np.testing.assert_allclose(half, double, rtol=0.03, atol=0.03)


def _gradients(case: Case, dtype: str = "float64") -> np.ndarray[Any, Any]:
    made = use(case, dtype)
    found = made.function.grad(made.data, wrt=made.variables)
    return _flat(found if isinstance(found, dict) else {made.variables[0]: found})


@pytest.mark.parametrize(
    "case", [c for c in CASES if len(c.op.outputs) == 1 and c.sample.gradient and c.sample.shapes], ids=str
)
def test_plans_with_and_without_fusion_agree(case: Case) -> None:
    results = []
    for fuse in (True, False):
        with settings.option(fuse=fuse, native=False):
            results.append(np.concatenate([_evaluated(use(case)), _gradients(case)]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-10, atol=1e-12)


SMOOTH = [
    c
    for c in CASES
    if c.sample.gradient
    and len(c.op.outputs) == 1
    and c.sample.shapes
    and not c.op.has(Trait.NO_GRADIENT)
    and not c.op.has(Trait.STOPS_GRADIENT)
    and not c.op.has(Trait.RANDOM)
]


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_the_gradient_is_that_of_finite_differences(case: Case) -> None:
    made = use(case)
    random = np.random.default_rng(7)
    output = made.function.output
    keep = {output}

    def forward() -> tuple[Any, Any]:
        state, values = made.function.forward(made.data, outputs=[output], keep_for_backward=keep)
        return state, values[output]

    before = [p.value.copy() for p in made.parameters]
    state, value = forward()
    weights = (
        [random.uniform(0.5, 1.5, np.shape(v)) for v in value]
        if isinstance(value, list)
        else random.uniform(0.5, 1.5, np.shape(value))
    )
    gradients = made.function.backward(state, {output: weights}, made.variables)
    step = 1e-5
    for variable in made.variables:
        if made.whole[variable]:
            assert not _flat(gradients[variable]).any(), "positions and counts have no gradient"
            continue
        directions = _directions(made, variable, random)
        sides = []
        for sign in (step, -step):
            _restore(made, before)
            moved = _move(made, variable, directions, sign)
            sides.append(float(np.dot(_flat(forward()[1]), _flat(weights))))
            _move(made, variable, directions, -sign, moved)
        _restore(made, before)
        expected = (sides[0] - sides[1]) / (2 * step)
        found = float(np.dot(_flat(gradients[variable]), _flat(directions)))
        scale = max(1.0, float(np.abs(_flat(gradients[variable])).sum()))
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-7 * scale), f"with respect to {variable}"


def _restore(made: Use, before: list[np.ndarray[Any, Any]]) -> None:
    """Parameters as they were: an operator may write them."""
    for p, value in zip(made.parameters, before, strict=True):
        p.value = value


def _directions(made: Use, variable: Variable, random: np.random.Generator) -> Any:
    if isinstance(variable, Parameter):
        return random.uniform(-1, 1, variable.shape)
    data = made.data[variable]
    return (
        [random.uniform(-1, 1, d.shape) for d in data] if isinstance(data, list) else random.uniform(-1, 1, data.shape)
    )


def _move(made: Use, variable: Variable, directions: Any, step: float, back: Any = None) -> Any:
    """Move an operand along the directions, or put ``back``; returns what it was."""
    if isinstance(variable, Parameter):
        if back is None:
            variable.value = variable.value + step * directions
        return None
    data = made.data[variable]
    if back is not None:
        made.data[variable] = back
    elif isinstance(data, list):
        made.data[variable] = [d + step * v for d, v in zip(data, directions, strict=True)]
    else:
        made.data[variable] = data + step * directions
    return data


FLAT = [
    c
    for c in CASES
    if len(c.op.outputs) == 1
    and c.sample.shapes
    and (c.op.has(Trait.NO_GRADIENT) or c.op.has(Trait.STOPS_GRADIENT))
    and not c.op.has(Trait.HOST)
    and c.op.kind != "composite"  # its parts decide
]


@pytest.mark.parametrize("case", FLAT, ids=str)
def test_what_has_no_gradient_gives_zero(case: Case) -> None:
    assert not _gradients(case).any()


# ---- tiers

NATIVE = [c for c in CASES if not c.op.has(Trait.RANDOM) and not c.op.has(Trait.HOST) and c.sample.shapes]
no_native = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


def _both(made: Use) -> np.ndarray[Any, Any]:
    """Values, and gradients where there are any."""
    outputs = made.function.outputs
    if len(outputs) != 1 or made.function.root_function.node.op.has(Trait.NO_GRADIENT):
        return _evaluated(made)
    gradients, value = made.function.grad(made.data, wrt=made.variables, outputs=[outputs[0]])
    return np.concatenate([_flat(value), _flat(gradients)])


def _on_both_tiers(
    case: Case, change: Callable[[Use], None], **more: object
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    found = []
    for options in ({"native": False}, {"native": True, "native_after": 0, "background_compilation": False, **more}):
        with settings.option(**options), np.errstate(all="ignore"):
            made = use(case, "float32")
            change(made)
            found.append(_both(made))
    return found[0], found[1]


@no_native
@pytest.mark.parametrize("case", NATIVE, ids=str)
def test_native_plans_agree_with_numpy(case: Case) -> None:
    numpy, native = _on_both_tiers(case, lambda made: None)
    np.testing.assert_allclose(native, numpy, rtol=1e-4, atol=1e-5)


@no_native
@pytest.mark.parametrize("case", NATIVE, ids=str)
def test_native_rows_write_nothing_beside_their_buffers(case: Case) -> None:
    # guard zones lie around every buffer, and are looked at after every row of the table
    numpy, native = _on_both_tiers(case, lambda made: None, checked=True)
    np.testing.assert_allclose(native, numpy, rtol=1e-4, atol=1e-5)


@no_native
@pytest.mark.parametrize("rows", [0, 1, 67])  # 67: more than are counted exactly, and no multiple of anything
@pytest.mark.parametrize("case", [c for c in NATIVE if c.axes == BATCH and not c.op.has(Trait.NEW_LAYOUT)], ids=str)
def test_native_plans_take_batches_of_any_size(case: Case, rows: int) -> None:
    def resized(made: Use) -> None:
        for v, data in made.data.items():
            array = np.asarray(data)
            made.data[v] = array[np.arange(rows) % len(array)] if len(array) else array[:0]

    numpy, native = _on_both_tiers(case, resized)
    if np.allclose(native, numpy, rtol=1e-4, atol=1e-5, equal_nan=True):
        return
    with np.errstate(all="ignore"), settings.option(native=False):
        exact_use = use(case, "float64")
        resized(exact_use)
        exact = _both(exact_use)
    # sums over many rows cancel: native code may be as far from float64 as NumPy is
    allowed = 1e-4 * np.abs(exact) + 1e-5 + 2 * np.abs(numpy - exact).max(initial=0)
    assert (np.abs(native - exact) <= allowed).all()


@no_native
@pytest.mark.parametrize("case", [c for c in NATIVE if c.op.formula is not None and c.axes == BATCH], ids=str)
def test_native_formulas_treat_numbers_that_are_not_finite_as_numpy(case: Case) -> None:
    def spoiled(made: Use) -> None:
        for i, (v, data) in enumerate(made.data.items()):
            flat = np.array(data).reshape(-1)
            flat[i % flat.size], flat[-1 - i] = (np.inf, np.nan) if i % 2 == 0 else (-np.inf, np.inf)
            made.data[v] = flat.reshape(data.shape)

    numpy, native = _on_both_tiers(case, spoiled)
    np.testing.assert_array_equal(np.isnan(native), np.isnan(numpy))
    np.testing.assert_allclose(native, numpy, rtol=1e-4, atol=1e-5)


# ---- declarations


def test_every_operator_is_declared_completely() -> None:
    """Each operator says how CNTK's files write it and brings at least one sample."""
    nameless = [op.name for op in OPS if not (op.cntk.op or op.cntk.block)]
    untested = [op.name for op in OPS if not op.samples and (op.formula or op.forward or op.contraction or op.body)]
    assert nameless == []
    assert set(untested) <= {"to_sequence_like", "_custom_proxy_op", "forward_backward", "_crop_automatic"}, (
        "a sample cannot say a free dimension, another program, alignments, or the network below an operand"
    )


def test_no_two_primitives_have_the_same_key_in_files() -> None:
    keys: dict[tuple[object, ...], str] = {}
    for op in OPS:
        rule = op.cntk
        if rule.id is None:
            continue  # blocks are read with the graph inside
        key = (rule.id, tuple(sorted(rule.where.items())))
        assert key not in keys, f"{op.name} and {keys[key]} are both written as {key}"
        keys[key] = op.name


@pytest.mark.parametrize("op", [op for op in OPS if not op.name.startswith("_")], ids=lambda op: op.name)
def test_every_public_operator_is_documented(op: OpDef) -> None:
    doc = op.doc
    for part in ("Args:", "Returns:", "Example:", "Source:"):
        assert part in doc, f"{op.name}: no {part}"
    assert ">>> " in doc
    summary = doc.split("\n\n", maxsplit=1)[0]
    assert summary.endswith("."), f"{op.name}: the summary is no sentence: {summary!r}"
    for p in op.parameters:
        assert re.search(rf"\b{re.escape(p.name)}\b", doc), f"{op.name}: {p.name} is not explained"

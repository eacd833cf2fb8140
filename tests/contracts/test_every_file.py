"""Nothing that can be built is lost in a file: every operator and every layer is saved and loaded with its numbers.

Whoever declares an operator with samples, or exports a layer, is tested: nothing here knows them by name. Attributes
that have a default are left out once, because what is left out is what a file must still say.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import composer
from cntk_lab.formats.cntk import description, dictionary
from cntk_lab.formats.cntk.read import load
from cntk_lab.formats.cntk.values import NDShape
from cntk_lab.formats.cntk.write import describe, to_bytes
from cntk_lab.graph import registry
from cntk_lab.graph.opdef import Sample
from tests.contracts import test_every_layer as layers
from tests.contracts import test_every_op as ops


def numbers(function: Any, data: dict[str, Any]) -> list[Any]:
    """What a function's outputs are for data by uid, one array for each sequence or minibatch."""
    values = function.forward({v: data[v.uid] for v in function.arguments}, function.outputs)[1]
    out = []
    for output in function.outputs:
        value = values[output]
        parts = value if isinstance(value, list) else [value]
        out += [np.asarray(p.todense() if hasattr(p, "todense") else p) for p in parts]
    return out


def assert_survives(function: Any, data: dict[Any, Any], path: Path) -> None:
    """Saved and loaded, a function has the same numbers."""
    function.save(str(path / "f.model"))
    loaded = C.Function.load(str(path / "f.model"))
    by_uid = {v.uid: d for v, d in data.items()}
    for ours, theirs in zip(numbers(function, by_uid), numbers(loaded, by_uid), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)


def _left_out(case: ops.Case) -> ops.Case | None:
    """The case without the attributes that have a default; None if nothing is left out."""
    optional = {p.name for p in case.op.attributes if p.default is not inspect.Parameter.empty} - {"seed"}
    if not optional & set(case.sample.attributes):
        return None
    s = case.sample
    fewer = Sample(s.shapes, {k: v for k, v in s.attributes.items() if k not in optional}, s.sequence, s.parameters)
    return _Fewer(case.op, case.number, case.axes, fewer)


class _Fewer(ops.Case):
    def __init__(self, op: Any, number: int, axes: str, sample: Sample) -> None:
        super().__init__(op, number, axes)
        object.__setattr__(self, "_sample", sample)

    @property
    def sample(self) -> Sample:
        return self._sample


@pytest.mark.parametrize("op", [op for op in registry.all_ops() if op.samples], ids=lambda op: op.name)
def test_every_operator_is_loaded_as_it_was_saved(op: Any, tmp_path: Path) -> None:
    for case in (c for c in ops.CASES if c.op is op):
        made = ops.use(case, "float32")
        assert_survives(made.function, made.data, tmp_path)
        fewer = _left_out(case)
        if fewer is None:
            continue
        try:
            made = ops.use(fewer, "float32")
            numbers(made.function, {v.uid: d for v, d in made.data.items()})
        except (C.errors.LabError, ValueError):
            continue  # the sample needs the attribute
        assert_survives(made.function, made.data, tmp_path)


def test_whole_numbers_are_settings_like_others(tmp_path: Path) -> None:
    x = C.input_variable(3)
    for f in (C.elu(x, alpha=2), C.elu(x, alpha=1), C.leaky_relu(x, alpha=2), C.softplus(x, steepness=3)):
        assert_survives(f, {x: np.array([[-1, 0.5, 2]], np.float32)}, tmp_path)


@pytest.mark.parametrize("name", layers.NAMES)
def test_every_layer_is_loaded_as_it_was_saved(name: str, tmp_path: Path) -> None:
    z, data = layers.built(name)
    assert_survives(z, data, tmp_path)


CELLS = ("LSTM", "GRU", "RNNStep", "RNNUnit")
LAYERS = [e for e in composer.palette() if e["category"] == "layers" and e["name"] not in CELLS]


@pytest.mark.parametrize("entry", LAYERS, ids=lambda e: e["name"])
def test_every_layer_as_the_palette_adds_it_is_loaded_as_it_was_saved(entry: Any, tmp_path: Path) -> None:
    program = composer.Composer(f"import cntk_lab as C\n\nx = {_operand(entry['name'])}\nmodel = C.tanh(x)\n")
    program.add(entry["path"])
    z, x = program.model, program.model.arguments[0]
    assert program.problems == ()
    assert "layers." in program.code
    rows = np.random.default_rng(0).uniform(-1, 1, (4, *x.shape)).astype(np.float32)
    assert_survives(z, {x: [rows] if len(x.dynamic_axes) == 2 else rows}, tmp_path)


def _operand(name: str) -> str:
    """Something that a layer of this name takes."""
    if name.endswith("3D"):
        return "C.input_variable((2, 5, 5, 5))"
    if name.endswith("1D"):
        return "C.input_variable((2, 7))"
    if name in (
        "SequentialConvolution",
        "Delay",
        "PastValueWindow",
        "Recurrence",
        "Fold",
        "AttentionModel",
        "RecurrenceFrom",
    ):
        return "C.sequence.input_variable(10)"
    return "C.input_variable((3, 8, 8))"


@pytest.mark.parametrize("kind", ["GlobalAveragePooling", "GlobalMaxPooling"])
def test_files_that_do_not_know_the_size_of_a_window_over_everything_are_read(kind: str) -> None:
    x = C.input_variable((3, 6, 7), name="x")
    z = getattr(C.layers, kind)()(x)
    model = describe(z)
    for record in model.functions:
        if "poolingWindowShape" in record.attributes:
            assert record.attributes["poolingWindowShape"] == NDShape((7, 6))  # as CNTK 2.7 writes it
            record.attributes["poolingWindowShape"] = NDShape((2**64 - 2,))  # as this package wrote it once
    old = load(dictionary.encode(description.to_dictionary(model)))
    image = np.arange(3 * 6 * 7, dtype=np.float32).reshape(1, 3, 6, 7)
    np.testing.assert_allclose(old.eval({old.arguments[0]: image}), z.eval({x: image}))
    assert load(to_bytes(old)).shape == (3, 1, 1)

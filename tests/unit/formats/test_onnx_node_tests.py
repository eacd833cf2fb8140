"""onnx's own tests of operators, read by us and compared with the values that onnx says: a number that only rises."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import FormatError, LabError
from cntk_lab.formats.onnx import read

onnx = pytest.importorskip("onnx")

PASSING = {"node": 970, "simple": 7, "pytorch-operator": 30, "pytorch-converted": 76}
"""Kind of tests -> how many must pass at least. onnx 1.23 has 1,884 of nodes, half of them of operators, element types
and values (texts, sequences, empty tensors) that CNTK does not have."""


def arrays(values: list[Any]) -> list[np.ndarray]:
    """Values of a test as arrays."""
    found = []
    for v in values:
        array = onnx.numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v
        if not isinstance(array, (np.ndarray, np.generic)):
            raise FormatError("a value that is no tensor")
        found.append(np.asarray(array))
    return found


def stored(folder: Path) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of the first set of a test that lies in files."""
    sets = []
    for kind in ("input", "output"):
        values = []
        for path in sorted(folder.glob(f"test_data_set_0/{kind}_*.pb")):
            tensor = onnx.TensorProto()
            tensor.ParseFromString(path.read_bytes())
            values.append(tensor)
        sets.append(values)
    return sets[0], sets[1]


def cases(kind: str) -> Iterator[tuple[Any, list[Any], list[Any]]]:
    loader = pytest.importorskip("onnx.backend.test.loader")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the tests of casts compute for themselves
        loaded = loader.load_model_tests(kind=kind)
    for case in loaded:
        if kind == "node":
            yield case.model, *case.data_sets[0]
        else:
            folder = Path(case.model_dir)
            yield onnx.load(folder / "model.onnx"), *stored(folder)


def loaded(model: Any, feeds: dict[str, np.ndarray]) -> C.Function:
    """The function; inputs that say shapes and places are numbers where an operator asks for it."""
    content = model.SerializeToString()
    try:
        return read.load(content)
    except FormatError as error:
        if "it must be known" not in error.what:
            raise
        return read.load(content, constants={k: v for k, v in feeds.items() if v.dtype.kind in "iub" or v.size <= 1})


def passes(model: Any, inputs: list[Any], outputs: list[Any]) -> bool:
    stored_names = {t.name for t in model.graph.initializer}
    names = [v.name for v in model.graph.input]
    names = [n for n in names if n not in stored_names] if len(inputs) < len(names) else names
    try:
        feeds = dict(zip(names, arrays(inputs), strict=False))
        wanted = arrays(outputs)
        function = loaded(model, feeds)
        data = {a: np.asarray(feeds[a.name], a.dtype) for a in function.arguments}
        found = function.eval(data) if data else function.eval()
    except LabError:
        return False
    values = [found[o] for o in function.outputs] if len(function.outputs) > 1 else [found]
    return all(
        np.shape(a) == b.shape and np.allclose(np.asarray(a, float), b.astype(float), 1e-3, 1e-5, equal_nan=True)
        for a, b in zip(values, wanted, strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", PASSING)
def test_no_operator_is_lost(kind: str) -> None:
    passed = sum(passes(*case) for case in cases(kind))
    assert passed >= PASSING[kind]

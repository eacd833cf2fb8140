"""Every recorded operator example gives the numbers that CNTK 2.7 gave, forward and backward."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import formats
from cntk_lab.formats.cntk import write

_HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("golden_operator_cases", _HERE / "record_cases.py")
assert _spec is not None
assert _spec.loader is not None
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)
CASES: dict[str, Any] = _cases.CASES


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray[Any, Any]]:
    with np.load(_HERE / "operators.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _build(operands: Any, *, gradient: bool) -> tuple[list[Any], dict[Any, Any]]:
    variables: list[Any] = []
    data: dict[Any, Any] = {}
    for kind, values in operands:
        if kind == "parameter":
            variables.append(C.parameter(values.shape, init=values))
            continue
        make, sample = (C.input_variable, values) if kind == "batch" else (C.sequence.input_variable, values[0])
        variables.append(make(sample.shape[1:], needs_gradient=gradient, name=f"v{len(variables)}"))
        data[variables[-1]] = values
    return variables, data


def _agrees(found: Any, key: str, recorded: dict[str, np.ndarray[Any, Any]]) -> None:
    parts = [(f"{key}{i}", v) for i, v in enumerate(found)] if isinstance(found, list) else [(key, found)]
    assert all(name in recorded for name, _ in parts), f"{key} has another structure in the recording"
    for name, value in parts:
        expected = recorded[name]
        # single precision: five digits, and as many of the largest number beside it
        scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
        np.testing.assert_allclose(np.asarray(value), expected, rtol=1e-5, atol=1e-5 * max(scale, 0.1), err_msg=name)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", sorted(CASES))
def test_an_operator_gives_the_numbers_of_cntk(name: str, recorded: dict[str, np.ndarray[Any, Any]]) -> None:
    make, operands, gradient = CASES[name]
    variables, data = _build(operands, gradient=gradient)
    function = make(C, *variables)
    needed = {v: data[v] for v in function.arguments}
    _agrees(function.eval(needed), f"{name}|y", recorded)
    for k, variable in enumerate(variables):
        if any(key.startswith(f"{name}|d{k}") for key in recorded):
            _agrees(function.grad(needed, wrt=[variable]), f"{name}|d{k}", recorded)


def test_the_recording_holds_every_example(recorded: dict[str, np.ndarray[Any, Any]]) -> None:
    assert {key.split("|")[0] for key in recorded} == set(CASES)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", sorted(CASES))
def test_an_operator_comes_back_from_a_file_of_cntk_s_format(
    name: str, recorded: dict[str, np.ndarray[Any, Any]]
) -> None:
    """What CNTK's format says of it, in primitive functions and blocks, is the same function."""
    make, operands, gradient = CASES[name]
    variables, _ = _build(operands, gradient=gradient)
    loaded = formats.load(write.to_bytes(make(C, *variables)))
    needed = {a: operands[int(a.name[1:])][1] for a in loaded.arguments}
    _agrees(loaded.eval(needed), f"{name}|y", recorded)


def main(folder: str) -> None:
    """Write every example's model file, for ``check.py`` to read with real CNTK."""
    for name, (make, operands, gradient) in CASES.items():
        make(C, *_build(operands, gradient=gradient)[0]).save(str(Path(folder) / f"{name}.model"))


if __name__ == "__main__":
    main(sys.argv[1])

"""Files in CNTK 1's format: CNTK's own give CNTK's numbers, ours are as long, damaged ones are refused."""

import contextlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import debugging
from cntk_lab.errors import FormatError
from cntk_lab.ops.functions import Function

FOLDER = Path(__file__).parents[2] / "golden" / "legacy"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def evaluate(model: Any, case: dict[str, Any]) -> Any:
    data = {a: np.array(case["data"][a.name], np.float32) for a in model.arguments}
    return model.eval({a: list(d) if len(a.dynamic_axes) > 1 else d for a, d in data.items()})


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_files_of_cntk_give_what_cntk_computed_also_after_writing_them_again(name: str, tmp_path: Path) -> None:
    model = Function.load(str(FOLDER / f"{name}.v1"))
    np.testing.assert_allclose(evaluate(model, EXPECTED[name]), EXPECTED[name]["result"], rtol=1e-5, atol=1e-6)
    debugging.save_as_legacy_model(model, tmp_path / "again.v1")
    sizes = len((tmp_path / "again.v1").read_bytes()), (FOLDER / f"{name}.v1").stat().st_size
    assert sizes[1] - sizes[0] == (4 if name in ("past", "future") else 0)  # we leave the shape of a frame open
    again = Function.load(str(tmp_path / "again.v1"))
    np.testing.assert_allclose(evaluate(again, EXPECTED[name]), EXPECTED[name]["result"], rtol=1e-5, atol=1e-6)
    assert [p.name for p in again.parameters] == [p.name for p in model.parameters]


def test_a_recurrence_and_blocks_are_written_and_read(tmp_path: Path) -> None:
    x = C.sequence.input_variable(2, name="x")
    summed = C.layers.Recurrence(C.plus)(x)
    debugging.save_as_legacy_model(C.layers.Dense(3, activation=C.relu, init=1.0)(summed), tmp_path / "m.v1")
    loaded = Function.load(str(tmp_path / "m.v1"))
    rows = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    assert loaded.eval([rows])[0].tolist() == [[3.0] * 3, [10.0] * 3]


def test_two_results_are_combined(tmp_path: Path) -> None:
    x = C.input_variable(1, name="x")
    C.combine([C.plus(x, 1, name="a"), C.minus(x, 1, name="b")]).save(str(tmp_path / "m.v1"), format="CNTKv1")
    loaded = Function.load(str(tmp_path / "m.v1"))
    values = loaded.eval({loaded.arguments[0]: [[5.0]]})
    assert sorted((v.name, float(n[0][0])) for v, n in values.items()) == [("a", 6.0), ("b", 4.0)]


def test_what_has_no_form_is_refused_by_name(tmp_path: Path) -> None:
    image = C.input_variable((1, 4, 4))
    with pytest.raises(FormatError, match="Pooling has no form here in files of CNTK 1"):
        debugging.save_as_legacy_model(C.pooling(image, C.MAX_POOLING, (2, 2)), tmp_path / "m.v1")
    with pytest.raises(FormatError, match="a free dimension"):
        debugging.save_as_legacy_model(C.exp(C.input_variable((-3,))), tmp_path / "m.v1")
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused_and_take_no_memory() -> None:
    whole = (FOLDER / "dense.v1").read_bytes()
    tracemalloc.start()
    for at in range(8, len(whole), 3):
        for damaged in (whole[:at], whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :]):
            with contextlib.suppress(FormatError):  # nothing else may be raised; a changed number is still a model
                Function.load(damaged)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    with pytest.raises(FormatError, match="version 7 of CNTK 1's format, only 31 is read"):
        Function.load(whole.replace(b"\x1f\0\0\0\0\0\0\0", b"\x07\0\0\0\0\0\0\0", 1))
    with pytest.raises(FormatError, match="is a 'Soft': this kind is not read"):
        Function.load(whole.replace("StableSigmoid".encode("utf-16-le"), "Soft".encode("utf-16-le"), 1))

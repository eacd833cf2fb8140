"""Functions as ONNX files: what is in them, that they are run before they are kept, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.cli import main
from cntk_lab.errors import FormatError, LabWarning
from cntk_lab.formats.onnx import description, encode, verify, write

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

MODELS = Path(__file__).resolve().parents[2] / "golden" / "models"
REFUSED = {
    "random_samples": "RandomSample", "ranking": "LambdaRank", "roipooling": "ROIPooling",
    "sequence_criteria": "EditDistanceError", "sequential_convolution": "Convolution", "unpooling": "Unpooling",
    "unpooling_layers": "Unpooling", "forward_backward": "", "user_function": "",
}  # fmt: skip
"""Golden models that ONNX, or this exporter, cannot say -> the operator that is named."""
NOT_COMPARED = {"to_sequences"}
"""Those that take no random numbers: lengths that must agree come in as data."""


def run(path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feeds)


def network() -> C.Function:
    x = C.input_variable((1, 12, 12), name="picture")
    z = C.layers.Sequential([
        C.layers.Convolution((3, 3), 4, pad=True, activation=C.relu, name="c1"), C.layers.MaxPooling((2, 2), strides=2),
        C.layers.BatchNormalization(map_rank=1), C.layers.Dropout(0.5), C.layers.Dense(10, name="last"),
    ])(x)  # fmt: skip
    return C.softmax(z, name="p")


EXPORTED = sorted(p.stem for p in MODELS.glob("*.model") if p.stem not in {*REFUSED, *NOT_COMPARED})


@pytest.mark.parametrize("name", EXPORTED)
def test_golden_models_compute_the_same_in_onnxruntime(name: str) -> None:
    function = C.Function.load(str(MODELS / f"{name}.model"))
    model = write.describe(function)
    data = encode.write(model)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    report = verify.verify(function, model, data)
    assert report.rows, report.remark
    assert report.within, str(report)


@pytest.mark.parametrize("name", [n for n, op in REFUSED.items() if op])
def test_golden_models_that_onnx_cannot_say_are_refused_before_a_file_is_there(name: str, tmp_path: Path) -> None:
    function = C.Function.load(str(MODELS / f"{name}.model"))
    with pytest.raises(FormatError, match=f"{REFUSED[name]} cannot be written as ONNX: ") as error:
        function.save(str(tmp_path / "m.onnx"))
    assert error.value.where
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_live_batch_axes_names_scopes_and_each_parameter_once(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    z = network()
    report = z.save(str(path))
    assert report.within
    assert [r.batch for r in report.rows] == [1, 2, 7]
    model = description.read(path.read_bytes())
    (x,), (y,) = model.graph.inputs, model.graph.outputs
    assert (x.name, x.type.dims) == ("picture", ("batch", 1, 12, 12))
    assert (y.name, y.type.dims) == ("p", ("batch", 10))
    assert model.opsets == (("", 17),)
    assert model.producer == "CNTK Lab"
    parameters = [t.name for t in model.graph.initializers if "/" in t.name]
    assert sorted(parameters) == sorted(["/c1/W", "/c1/b", "/last/W", "/last/b", *(
        f"/BatchNormalization/{n}" for n in ("scale", "bias", "aggregate_mean", "aggregate_variance"))])  # fmt: skip
    assert any(n.name == "/c1/Conv" for n in model.graph.nodes)
    data = np.random.default_rng(0).random((5, 1, 12, 12), np.float32)
    assert np.allclose(run(path, {"picture": data})[0], z.eval(data), atol=1e-6)


def test_shared_parameters_are_written_once() -> None:
    x, w = C.input_variable(3), C.parameter((3, 3), init=1, name="w")
    model = write.describe(C.times(C.tanh(C.times(x, w)), w))
    assert [t.name for t in model.graph.initializers if t.dims == (3, 3)] == ["w"]


def test_sequences_are_padded_tensors_with_lengths_and_nothing_reads_the_padding(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    s = C.sequence.input_variable(3, name="words")
    z = C.layers.Sequential([
        C.layers.Recurrence(C.layers.LSTM(4)), C.layers.Recurrence(C.layers.GRU(2), go_backwards=True), C.sequence.last,
    ])(s)  # fmt: skip
    z.save(str(path))
    model = description.read(path.read_bytes())
    assert [(v.name, v.type.dims) for v in model.graph.inputs] == [
        ("words", ("batch", "sequence", 3)), ("sequence_lengths", ("batch",)),
    ]  # fmt: skip
    assert [n.op for n in model.graph.nodes].count("Scan") == 2
    sequences = [np.random.default_rng(n).random((n, 3), np.float32) for n in (4, 1, 6)]
    padded = np.full((3, 6, 3), np.nan, np.float32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    found = run(path, {"words": padded, "sequence_lengths": np.array([4, 1, 6])})[0]
    assert np.allclose(found, z.eval(sequences), atol=1e-6)


def test_a_difference_above_the_bar_raises_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = C.input_variable(2, name="x")
    monkeypatch.setattr(write, "describe", lambda *_, told=write.describe: told(C.exp(x, name="y")))
    with pytest.raises(FormatError, match="computes something else: output y at batch 1 differs by"):
        C.sin(x, name="y").save(str(tmp_path / "m.onnx"))
    assert list(tmp_path.iterdir()) == []
    C.sin(x, name="y").save(str(tmp_path / "m.onnx"), verify=False)
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_without_a_runtime_the_user_is_told_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.warns(LabWarning, match=r'without having been compared: .*pip install "cntk-lab\[onnx\]"'):
        C.exp(C.input_variable(2)).save(str(tmp_path / "m.onnx"))


def test_the_reference_evaluator_serves_where_onnxruntime_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    function = C.layers.Dense(3, activation=C.tanh)(C.input_variable(2))
    model = write.describe(function)
    report = verify.verify(function, model, encode.write(model))
    assert "reference evaluator" in report.runtime
    assert report.within


@pytest.mark.parametrize("opset", range(17, 22))
def test_every_opset_that_can_be_asked_for_runs(opset: int) -> None:
    function = C.reduce_mean(network(), 0) + C.reduce_sum(C.input_variable((2, 3)), 1)
    model = write.describe(function, opset)
    data = encode.write(model)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    assert verify.verify(function, model, data).within


def test_an_opset_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(FormatError, match=r"opset 5 cannot be written\n.*from 17 to 21"):
        write.describe(network(), 5)


def test_the_command_converts_a_file_and_says_what_came_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "b.onnx"
    assert main(["convert", str(MODELS / "dense_layers.model"), str(target)]) == 0
    assert f"wrote {target}: verified in onnxruntime" in capsys.readouterr().out
    assert description.read(target.read_bytes()).graph.nodes


def test_a_report_is_a_page_with_its_names_escaped(tmp_path: Path) -> None:
    x = C.input_variable(2, name="x")
    C.exp(x, name="<b>").save(str(tmp_path / "m.onnx")).save(tmp_path / "m.html")
    page = (tmp_path / "m.html").read_text()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


def test_records_come_back_from_their_bytes() -> None:
    model = write.describe(network())
    again = description.read(encode.write(model))
    assert [n.outputs for n in again.graph.nodes] == [n.outputs for n in model.graph.nodes]
    assert encode.write(again) == encode.write(model)

"""Files of other programs are named as what they are, at every door, with what to do about it."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import _foreign
from cntk_lab.errors import FormatError, LabError, ReaderError
from cntk_lab.formats.onnx import description
from cntk_lab.io import (
    CBFDeserializer,
    CTFDeserializer,
    HTKFeatureDeserializer,
    HTKMLFDeserializer,
    ImageDeserializer,
    MinibatchSource,
    StreamDef,
    StreamDefs,
)
from cntk_lab.train import _history

MODELS = Path(__file__).parents[1] / "golden/models"


def zipped(*names: str, content: bytes = b"...") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name in names:
            target.writestr(name, content)
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, w=np.ones(3))
    return buffer.getvalue()


def saved_model() -> bytes:
    operators = b"\x0a\x0d\x0a\x0bVarHandleOp"
    about = b"\x12" + bytes([len(operators)]) + operators + b"\x22\x05serve"
    graph = b"\x0a" + bytes([len(about)]) + about
    return b"\x08\x01\x12" + bytes([len(graph)]) + graph


def safetensors() -> bytes:
    head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(4)


ONNX = b"\x08\x07\x12\x07pytorch\x3a\x03\x12\x01g"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46810000\n"

# content, what it is called, and a word of the advice
FOREIGN = {
    "Git LFS": (POINTER, "a Git LFS pointer: the file itself, 46810000 bytes, is not here", "git lfs pull"),
    "HTML": (b"\n<!DOCTYPE html>\n<html><head><title>404</title>", "an HTML page", "download the file itself"),
    "XML": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "an XML file", "another file"),
    "zip": (zipped("weights.txt"), "a zip archive (its first file: 'weights.txt')", "unpack it"),
    "PyTorch": (zipped("archive/data.pkl", "archive/version"), "a PyTorch file", "ONNX"),
    "older PyTorch": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "a pickle of PyTorch", "ONNX"),
    "pickle": (
        b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94\x8c\x01w\x94",
        "a pickle of Python, which can run any program",
        "ONNX",
    ),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, as Keras writes models", "ONNX"),
    "Keras 3": (zipped("metadata.json", content=b'{"keras_version": "3.4"}'), "a Keras 3 file", "ONNX"),
    "SavedModel": (saved_model(), "a TensorFlow SavedModel", "ONNX"),
    "TensorFlow graph": (b"\x0a\x20\x0a\x01x\x12\x0bPlaceholder" + bytes(20), "a TensorFlow graph", "ONNX"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(20), "a TensorFlow Lite model", "ONNX"),
    "safetensors": (safetensors(), "a safetensors file", "ONNX"),
    "npz": (npz(), "a NumPy archive (.npz)", "numpy.load"),
    "npy": (b"\x93NUMPY\x01\0" + bytes(80), "a NumPy array (.npy)", "numpy.load"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(30), "a gzip file", "gunzip"),
    "tar": (b"a.txt".ljust(257, b"\0") + b"ustar" + bytes(250), "a tar archive", "unpack it"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(30), "a PNG image", "ImageDeserializer"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_file_called_a_model_is_named(what, tmp_path):
    content, words, advice = FOREIGN[what]
    for name in ("m.model", "m.onnx", "m.dnn"):
        (tmp_path / name).write_bytes(content)
        for given in (str(tmp_path / name), content):
            with pytest.raises(FormatError) as error:
                C.load_model(given)
            assert words in error.value.what
            assert advice in error.value.fix
    with pytest.raises(FormatError, match="this is no ONNX model but") as error:
        description.read(content, "m.onnx")
    assert words in error.value.what


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_file_given_to_a_reader_is_named(what, tmp_path):
    content, words, advice = FOREIGN[what]
    path = str(tmp_path / "data.txt")
    Path(path).write_bytes(content)
    (tmp_path / "good.txt").write_text("s\n")
    x = StreamDefs(x=StreamDef(field="x", shape=1))
    labels = StreamDefs(y=StreamDef(mlf=path, shape=1))
    map_ = StreamDefs(y=StreamDef(field="label", shape=1), x=StreamDef(field="image"))
    doors = [
        CTFDeserializer(path, x),
        CBFDeserializer(path),
        HTKFeatureDeserializer(StreamDefs(x=StreamDef(scp=path, shape=1))),
        HTKMLFDeserializer(str(tmp_path / "good.txt"), labels),
        ImageDeserializer(path, map_),
    ]
    for door in doors:
        with pytest.raises(ReaderError) as error:
            MinibatchSource(door)
        assert words in error.value.what
        assert advice in error.value.fix


def test_features_that_are_a_pointer_are_named(tmp_path):
    (tmp_path / "u.fea").write_bytes(POINTER)
    (tmp_path / "all.scp").write_text(f"{tmp_path}/u.fea\n")
    with pytest.raises(ReaderError, match="a Git LFS pointer: the file itself, 46810000 bytes, is not here"):
        MinibatchSource(HTKFeatureDeserializer(StreamDefs(x=StreamDef(scp=str(tmp_path / "all.scp"), shape=1))))


def test_an_image_that_is_a_page_is_named(tmp_path):
    (tmp_path / "1.png").write_bytes(FOREIGN["HTML"][0])
    (tmp_path / "map.txt").write_text(f"{tmp_path}/1.png\t0\n")
    streams = StreamDefs(y=StreamDef(field="label", shape=1), x=StreamDef(field="image"))
    with pytest.raises(ReaderError, match="an HTML page, not the file"):
        MinibatchSource(ImageDeserializer(str(tmp_path / "map.txt"), streams)).next_minibatch(1)


def test_a_run_that_is_a_page_is_named(tmp_path):
    (tmp_path / "run.jsonl").write_bytes(FOREIGN["HTML"][0])
    with pytest.raises(FormatError, match="this is no run but an HTML page"):
        _history.read(tmp_path / "run.jsonl")


def test_onnx_called_model_and_cntk_called_onnx_are_told_apart(tmp_path):
    (tmp_path / "a.model").write_bytes(ONNX)
    with pytest.raises(FormatError) as error:
        C.load_model(str(tmp_path / "a.model"))
    assert error.value.what == "this is no CNTK model but an ONNX model"
    assert "name it .onnx" in error.value.fix
    (tmp_path / "b.onnx").write_bytes((MODELS / "dense_layers.model").read_bytes())
    with pytest.raises(FormatError) as error:
        C.load_model(str(tmp_path / "b.onnx"))
    assert error.value.what == "this is no ONNX model but a CNTK model"
    assert len(C.load_model(str(tmp_path / "b.onnx"), format=C.ModelFormat.CNTKv2).outputs) > 0
    assert description.read(ONNX).graph.name == "g"


def test_a_text_called_a_model_is_quoted(tmp_path):
    (tmp_path / "m.model").write_text('{"format": "keras"}\n')
    with pytest.raises(FormatError) as error:
        C.load_model(str(tmp_path / "m.model"))
    assert error.value.what == 'this is no CNTK model but a text, which begins \'{"format": "keras"}\''


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.model")) + sorted(MODELS.glob("*.ckp")), ids=lambda p: p.name)
def test_our_own_files_are_not_foreign(path):
    assert _foreign.look(path) is None
    assert _foreign.is_cntk(path.read_bytes()[: _foreign.HEAD])


@pytest.mark.parametrize("text", ["MZ01=a.fea\n", "GGUF\nPAR1\n", "BZh |a 1\n", "Rar! |a 1\n"])
def test_texts_that_begin_like_other_files_are_texts(text):
    assert _foreign.kind_of(text.encode()) is None


def trainer(make):
    x, y = C.input_variable(2, name="x"), C.input_variable(3, name="y")
    z = C.layers.Dense(3, name="d")(x)
    loss = C.squared_error(z, y)
    return C.Trainer(z, (loss, loss), [make(z.parameters, C.learning_parameter_schedule(0.1))])


def adam(parameters, rate):
    return C.adam(parameters, rate, C.momentum_schedule(0.9))


def momentum(parameters, rate):
    return C.momentum_sgd(parameters, rate, C.momentum_schedule(0.9))


def nesterov(parameters, rate):
    return C.nesterov(parameters, rate, C.momentum_schedule(0.9))


@pytest.mark.parametrize("reader", [momentum, C.sgd])
def test_a_checkpoint_of_another_learner_says_which_one_wrote_it(tmp_path, reader):
    trainer(adam).save_checkpoint(str(tmp_path / "t"))
    with pytest.raises(LabError, match="it was written by adam") as error:
        trainer(reader).restore_from_checkpoint(str(tmp_path / "t"))
    assert error.value.fix == "restore with adam"


def test_the_state_of_a_learner_that_fits_is_taken_over_with_a_warning(tmp_path):
    trainer(momentum).save_checkpoint(str(tmp_path / "t"))
    with pytest.warns(C.errors.LabWarning, match="was written by momentum_sgd; nesterov takes its state over"):
        trainer(nesterov).restore_from_checkpoint(str(tmp_path / "t"))


def test_a_checkpoint_that_does_not_say_who_wrote_it_is_refused_by_what_it_holds():
    learner = trainer(momentum).parameter_learners[0]
    state = trainer(adam).parameter_learners[0].create_checkpoint()
    del state["learner"]
    with pytest.raises(LabError, match="written by a learner that keeps 2 arrays for each parameter; momentum_sgd"):
        learner.restore_from_checkpoint(state)


def test_a_function_given_as_data_says_eval():
    x = C.input_variable(2, name="x")
    for data in (C.constant([1.0, 2.0]) * 2, [C.constant([1.0, 2.0]) * 2]):
        with pytest.raises(LabError) as error:
            (x * 1).eval({x: data})
        assert error.value.what == "data for 'x' are a Function, which has no numbers until it is evaluated"
        assert ".eval()" in error.value.fix
    with pytest.raises(LabError, match="data for 'x' are a variable"):
        (x * 1).eval({x: x})


@pytest.mark.parametrize("data", [[], (), [[]], [[], []], np.zeros((0, 2)), [np.zeros((0, 2))]])
def test_sequences_that_are_none_are_refused(data):
    for shape, sparse in ((2, False), ((), False), (2, True)):
        x = C.sequence.input_variable(shape, is_sparse=sparse, name="x")
        function = C.times(x, np.ones((2, 1), np.float32)) if sparse else x * 1
        with pytest.raises(LabError):
            function.eval({x: data})


def test_texts_without_a_common_id_say_so(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"{k} |a 1\n" for k in range(1, 8)))
    (tmp_path / "b.txt").write_text("11 |b 1\n12 |b 2\n")
    parts = [CTFDeserializer(str(tmp_path / f"{n}.txt"), StreamDefs(**{n: StreamDef(field=n, shape=1)})) for n in "ab"]
    for options in ({"randomize": False}, {}, {"max_sweeps": 1}):
        with pytest.raises(ReaderError) as error, pytest.warns(C.errors.LabWarning, match="has no partner"):
            MinibatchSource(parts, **options).next_minibatch(3)
        assert error.value.what == "no sequence id is in every file, so there is nothing to put together"
        assert error.value.where == "stream a has the ids 1, 2, 3, 4, ...; stream b has the ids 11, 12"


def test_a_chunk_that_is_none_is_told(tmp_path):
    class Forgetful(C.io.UserDeserializer):
        def stream_infos(self):
            return [C.io.StreamInformation("x", 0, "dense", np.float32, (1,))]

        def num_chunks(self):
            return 1

        def get_chunk(self, chunk_id):
            pass

    with pytest.raises(ReaderError) as error:
        MinibatchSource(Forgetful()).next_minibatch(1)
    assert error.value.what == "Forgetful.get_chunk(0) gave a NoneType"

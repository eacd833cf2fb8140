"""ONNX files as functions: they evaluate, train, clone, show and go out again; what is not computed is named."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import FormatError
from cntk_lab.formats.onnx import encode, read, write
from cntk_lab.formats.onnx.records import Attribute, Graph, Model, Node, Type, Value
from cntk_lab.formats.onnx.tensors import tensor_of

FLOAT = 1
MUTATIONS = int(os.environ.get("CNTK_LAB_MUTATIONS", "1500"))
"""How many damaged copies are tried: CNTK_LAB_MUTATIONS=100000 pytest -k mutated --timeout 0."""


def value(name: str, *dims: int | str | None) -> Value:
    return Value(name, Type("tensor", FLOAT, dims))


def file(nodes: list[Node], inputs: list[Value], outputs: list[Value], opset: int = 17, **tensors: np.ndarray) -> bytes:
    initializers = tuple(tensor_of(name, values) for name, values in tensors.items())
    return encode.write(Model(8, Graph("g", tuple(nodes), initializers, inputs=tuple(inputs), outputs=tuple(outputs)),
                              (("", opset),)))  # fmt: skip


def network() -> C.Function:
    x = C.input_variable((2, 8, 8), name="x")
    return C.layers.Sequential([
        C.layers.Convolution((3, 3), 4, pad=True, activation=C.relu), C.layers.BatchNormalization(map_rank=1),
        C.layers.MaxPooling((2, 2), strides=2), C.layers.Dropout(0.3), C.layers.Dense(3, name="last"),
    ])(x)  # fmt: skip


def test_a_model_that_went_out_comes_in_with_names_axes_and_values(tmp_path: Path) -> None:
    z = network()
    z.save(str(tmp_path / "m.onnx"))
    again = C.load_model(str(tmp_path / "m.onnx"))
    assert [(a.name, a.shape, len(a.dynamic_axes)) for a in again.arguments] == [("x", (2, 8, 8), 1)]
    data = np.random.default_rng(0).standard_normal((5, 2, 8, 8)).astype(np.float32)
    for _ in range(5):  # NumPy serves the first evaluations, native code later ones
        assert np.allclose(again.eval(data), z.eval(data), rtol=1e-4, atol=1e-5)


def test_a_model_that_came_in_trains_and_its_statistics_move() -> None:
    z = C.Function.load(encode.write(write.describe(network())), format=C.ModelFormat.ONNX)
    assert {p.name.split("/")[-1] for p in z.parameters} == {"W", "b", "scale", "bias"}
    label = C.input_variable(3)
    mean = next(c for c in z.constants if c.name.endswith("aggregate_mean"))
    before = np.array(mean.value)
    loss = C.cross_entropy_with_softmax(z, label)
    trainer = C.Trainer(z, (loss, None), C.sgd(z.parameters, C.learning_rate_schedule(0.05, C.UnitType.minibatch)))
    generator = np.random.default_rng(3)
    data = generator.standard_normal((30, 2, 8, 8)).astype(np.float32)
    wanted = np.eye(3, dtype=np.float32)[generator.integers(0, 3, 30)]
    losses = []
    for _ in range(40):
        trainer.train_minibatch({z.arguments[0]: data, label: wanted})
        losses.append(trainer.previous_minibatch_loss_average)
    assert losses[-1] < 0.6 * losses[0]
    assert not np.allclose(before, mean.value)


def test_a_model_that_came_in_clones_and_goes_out_as_both_formats(tmp_path: Path) -> None:
    z = read.load(encode.write(write.describe(network())))
    data = np.random.default_rng(1).standard_normal((3, 2, 8, 8)).astype(np.float32)
    wanted = z.eval(data)
    z.save(str(tmp_path / "a.model"))
    z.save(str(tmp_path / "b.onnx"), verify=False)
    for again in (z.clone("freeze"), C.load_model(str(tmp_path / "a.model")), C.load_model(str(tmp_path / "b.onnx"))):
        assert np.allclose(again.eval(data), wanted, rtol=1e-4, atol=1e-5)


def test_arithmetic_with_shapes_leaves_the_batch_axis_alive() -> None:
    content = file(
        [
            Node("Shape", ("x",), ("s",)), Node("Gather", ("s", "zero"), ("n",)),
            Node("Unsqueeze", ("n", "at"), ("m",)),
            Node("Concat", ("m", "rest"), ("dims",), attributes=(Attribute("axis", 0),)),
            Node("Reshape", ("x", "dims"), ("y",)),
        ],
        [value("x", "N", 2, 3)], [value("y", "N", 6)],
        zero=np.array(0), at=np.array([0]), rest=np.array([6]),
    )  # fmt: skip
    z = read.load(content)
    assert z.eval(np.ones((4, 2, 3), np.float32)).shape == (4, 6)
    assert len(z.output.dynamic_axes) == 1


def test_sizes_of_the_minibatch_are_never_taken_for_numbers() -> None:
    nodes = [
        Node("Shape", ("x",), ("s",)), Node("Cast", ("s",), ("f",), attributes=(Attribute("to", FLOAT),)),
        Node("ReduceSum", ("x", "at"), ("t",), attributes=(Attribute("keepdims", 0),)), Node("Mul", ("t", "f"), ("y",)),
    ]  # fmt: skip
    content = file(nodes, [value("x", "N")], [value("y", 1)], at=np.array([0]))
    assert read.load(content).eval(np.array([1, 2, 3], np.float32)).tolist() == [18]
    nodes[1] = Node("Mul", ("s", "s"), ("f",))
    with pytest.raises(FormatError, match="the number of samples is used as a number"):
        read.load(file(nodes, [value("x", "N")], [value("y", 1)], at=np.array([0])))


def test_axes_by_hand_make_a_first_dimension_static() -> None:
    content = file(
        [Node("Transpose", ("x",), ("y",), "turn", attributes=(Attribute("perm", (1, 0)),))],
        [value("x", "N", 3)], [value("y", 3, "N")],
    )  # fmt: skip
    with pytest.raises(FormatError, match="the batch axis is moved") as error:
        read.load(content)
    assert error.value.where == "bytes, node 'turn'"
    assert "axes={" in error.value.fix
    turned = C.Function.load(content, format=C.ModelFormat.ONNX, axes={"x": (2, 3)})
    assert turned.eval(np.arange(6, dtype=np.float32).reshape(2, 3)).tolist() == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(FormatError, match="axes= says 1 axes of input 'x', which has 2"):
        read.load(content, axes={"x": (2,)})


def test_a_batch_axis_never_meets_another_axis() -> None:
    content = file(
        [Node("Add", ("x", "b"), ("y",))], [value("x", "N", 3)], [value("y")], b=np.ones((2, 4, 3), np.float32)
    )
    with pytest.raises(FormatError, match="the batch axis of a value of 2 axes meets another axis of a value of 3"):
        read.load(content)


def test_operators_that_are_not_computed_are_named_with_all_their_places() -> None:
    nodes = [Node("Det", ("x",), (f"d{i}",), f"n{i}") for i in range(6)] + [Node("Foo", ("x",), ("y",), "own", "my")]
    with pytest.raises(FormatError) as error:
        read.load(file(nodes, [value("x", 2, 2)], [value("y")]))
    assert error.value.what == "operators that are not computed here: Det (6: n0, n1, n2, n3, n4, n5); my.Foo (1: own)"


def test_local_functions_are_called_with_their_attributes() -> None:
    from cntk_lab.formats.onnx.records import LocalFunction

    leaky = Node("LeakyRelu", ("a",), ("b",), attributes=(Attribute("alpha", None, "slope"),))
    call = Node("Bent", ("x",), ("y",), "f", "own", attributes=(Attribute("slope", 0.5),))
    model = Model(
        8, Graph("g", (call,), inputs=(value("x", "N", 2),), outputs=(value("y", "N", 2),)), (("", 17), ("own", 1)),
        functions=(LocalFunction("Bent", "own", "", ("a",), ("b",), (leaky,)),),
    )  # fmt: skip
    assert read.load(encode.write(model)).eval([[-2.0, 4.0]]).tolist() == [[-1.0, 4.0]]


def test_a_function_that_calls_itself_is_refused() -> None:
    from cntk_lab.formats.onnx.records import LocalFunction

    call = Node("F", ("x",), ("x2",), "f", "own")
    model = Model(
        8, Graph("g", (call,), inputs=(value("x", "N", 2),), outputs=(value("x2", "N", 2),)), (("", 17),),
        functions=(LocalFunction("F", "own", "", ("x",), ("x2",), (call,)),),
    )  # fmt: skip
    with pytest.raises(FormatError, match="functions call each other deeper than"):
        read.load(encode.write(model))


@pytest.mark.parametrize("opset", [1, 5])
def test_versions_that_are_not_read_are_refused(opset: int) -> None:
    with pytest.raises(FormatError, match=f"version {opset} of ONNX's operators; those from 6 on are read"):
        read.load(file([Node("Exp", ("x",), ("y",))], [value("x", "N")], [value("y", "N")], opset))


def test_a_tensor_out_of_nothing_is_bounded() -> None:
    nodes = [Node("ConstantOfShape", ("dims",), ("c",)), Node("Add", ("x", "c"), ("y",))]
    with pytest.raises(FormatError, match="a tensor of 1,000,000,000,000 elements is made"):
        read.load(file(nodes, [value("x", "N")], [value("y", "N")], dims=np.array([10**6, 10**6])))


def test_quantised_products_are_those_of_onnxruntime() -> None:
    runtime = pytest.importorskip("onnxruntime")
    generator = np.random.default_rng(5)
    nodes = [
        Node("QuantizeLinear", ("x", "sx", "zx"), ("q",)), Node("DequantizeLinear", ("q", "sx", "zx"), ("d",)),
        Node("DequantizeLinear", ("w", "sw", "zw"), ("dw",)), Node("MatMul", ("d", "dw"), ("y",)),
        Node("MatMulInteger", ("q", "w", "zx", "z"), ("i",)),
        Node("Cast", ("i",), ("f",), attributes=(Attribute("to", FLOAT),)),
    ]  # fmt: skip
    content = file(
        nodes, [value("x", "N", 6)], [value("y", "N", 4), value("f", "N", 4)],
        sx=np.float32(0.03), zx=np.uint8(120), w=generator.integers(-127, 128, (6, 4)).astype(np.int8),
        sw=generator.uniform(0.01, 0.05, 4).astype(np.float32), zw=np.zeros(4, np.int8), z=np.int8(0),
    )  # fmt: skip
    data = generator.uniform(-5, 5, (7, 6)).astype(np.float32)
    wanted = runtime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": data})
    function = read.load(content)
    for _ in range(3):
        found = function.eval(data)
        assert np.allclose(found[function.outputs[0]], wanted[0], atol=1e-6)
        assert np.array_equal(found[function.outputs[1]], wanted[1])


def mutated(data: bytes, generator: random.Random) -> bytes:
    """A copy with bytes changed, taken out, put in or cut off."""
    copy = bytearray(data)
    for _ in range(generator.randrange(1, 4)):
        at = generator.randrange(len(copy))
        kind = generator.randrange(4)
        if kind == 0:
            copy[at] ^= 1 << generator.randrange(8)
        elif kind == 1:
            del copy[at : at + generator.randrange(1, 9)]
        elif kind == 2:
            copy[at:at] = generator.randbytes(generator.randrange(1, 5))
        else:
            copy[at] = generator.randrange(256)
        if not copy:
            break
    return bytes(copy)


def test_mutated_files_are_read_or_refused() -> None:
    generator = random.Random(18)
    data = encode.write(write.describe(network()))
    small = data if len(data) < 20_000 else data[:20_000]
    refused = 0
    for _ in range(MUTATIONS):
        try:
            read.load(mutated(small, generator))
        except FormatError as error:
            refused += bool(error.where)
    assert refused > MUTATIONS // 5

"""Ten models as people write them, to look at: by hand, of library layers, a file of another tool, a very deep one.

``MODELS`` maps a name to a function that gives what ``lab.show`` takes (a Function, or the path of a file in the folder
it is given). ``CHANGED`` gives the second model of a comparison for some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

import cntk_lab as C
from cntk_lab.layers import (  # fmt: skip
    LSTM,
    AttentionModel,
    BatchNormalization,
    Convolution,
    Convolution2D,
    ConvolutionTranspose2D,
    Delay,
    Dense,
    Dropout,
    Embedding,
    For,
    GlobalAveragePooling,
    Label,
    LayerNormalization,
    MaxPooling,
    Recurrence,
    Sequential,
    Stabilizer,
    default_options,
)
from tests.unit.formats import onnx_bytes as onnx

Model = Callable[[Path], Any]


def mlp(_folder: Path) -> Any:
    x = C.input_variable(784, name="pixels")
    return Sequential([Dense(400, C.relu, name="h1"), Dense(200, C.relu, name="h2"), Dense(10, name="digit")])(x / 255)


def wider_mlp(_folder: Path) -> Any:
    x = C.input_variable(784, name="pixels")
    layers = [Dense(400, C.relu, name="h1"), Dropout(0.2), Dense(256, C.tanh, name="h2"), Dense(10, name="digit")]
    return Sequential(layers)(x / 255)


def convnet(_folder: Path) -> Any:
    """The network of tutorial 103D, with more layers."""
    x = C.input_variable((1, 28, 28), name="picture")
    with default_options(activation=C.relu, pad=True):
        layers = [
            For(range(2), lambda i: [
                Convolution2D((3, 3), (32, 64)[i], name=f"conv{i + 1}a"),
                Convolution2D((3, 3), (32, 64)[i], name=f"conv{i + 1}b"),
                MaxPooling((3, 3), strides=(2, 2), name=f"pool{i + 1}"),
            ]),
            Dense(256, name="hidden"),
            Dropout(0.5),
            Dense(10, activation=None, name="classify"),
        ]  # fmt: skip
    return Sequential(layers)(x / 255)


def _conv_bn(x: Any, width: int, side: int, stride: int = 1, act: Any = C.relu) -> Any:
    h = Convolution((side, side), width, strides=stride, pad=True, bias=False)(x)
    h = BatchNormalization(map_rank=1)(h)
    return act(h) if act else h


def _basic(x: Any, width: int, stride: int) -> Any:
    h = _conv_bn(_conv_bn(x, width, 3, stride), width, 3, act=None)
    short = x if stride == 1 and x.shape[0] == width else _conv_bn(x, width, 1, stride, None)
    return C.relu(h + short)


def _bottleneck(x: Any, width: int, stride: int) -> Any:
    h = _conv_bn(_conv_bn(x, width, 1, stride), width, 3)
    h = _conv_bn(h, 4 * width, 1, act=None)
    short = x if x.shape[0] == 4 * width and stride == 1 else _conv_bn(x, 4 * width, 1, stride, None)
    return C.relu(h + short)


def resnet_20(_folder: Path) -> Any:
    """Written by hand: no block says where a residual unit begins."""
    h = _conv_bn(C.input_variable((3, 32, 32), name="image"), 16, 3)
    for stage, width in enumerate((16, 32, 64)):
        for unit in range(3):
            h = _basic(h, width, 2 if stage and not unit else 1)
    return Dense(10, name="class")(GlobalAveragePooling()(h))


def resnet_50(_folder: Path) -> Any:
    h = _conv_bn(C.input_variable((3, 224, 224), name="image"), 64, 7, 2)
    h = MaxPooling((3, 3), strides=2, pad=True)(h)
    for stage, (width, units) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for unit in range(units):
            h = _bottleneck(h, width, 2 if stage and not unit else 1)
    return Dense(1000, name="class")(GlobalAveragePooling()(h))


def _attend(x: Any, width: int, heads: int) -> Any:
    """Self-attention over all frames of a sequence, with several heads, in operators."""
    size = width // heads
    results = []
    for _ in range(heads):
        query, key, value = (Dense(size, bias=False)(x) for _ in range(3))
        keys, valid = C.sequence.unpack(key, 0).outputs
        values = C.sequence.unpack(value, 0, no_mask_output=True)
        logits = C.reduce_sum(C.sequence.broadcast_as(keys, x) * C.reshape(query, (1, size)), axis=1) / size**0.5
        mask = C.sequence.broadcast_as(C.expand_dims(valid, -1), x)
        weights = C.softmax(C.element_select(mask, logits, C.constant(-1e9)), axis=0)
        mean = C.reduce_sum(weights * C.sequence.broadcast_as(values, x), axis=0)
        results.append(C.reshape(mean, (size,)))
    return Dense(width)(C.splice(*results))


def encoder(_folder: Path) -> Any:
    """A Transformer encoder of four layers, by hand."""
    words = C.sequence.input_variable(5000, is_sparse=True, name="words")
    h = Embedding(64, name="embed")(words)
    for _ in range(4):
        h = LayerNormalization()(h + _attend(h, 64, 4))
        h = LayerNormalization()(h + Dense(64)(Dense(256, C.relu)(h)))
    return Dense(12, name="tag")(h)


def seq2seq(_folder: Path) -> Any:
    """Tutorial 204 with attention, as it is trained."""
    source, target = C.Axis("source"), C.Axis("target")
    words, hidden, width = 69, 128, 64
    embed = Embedding(width, name="embed")
    with default_options(enable_self_stabilization=True):
        encode = Sequential([
            embed, Stabilizer(), Recurrence(LSTM(hidden)),
            Recurrence(LSTM(hidden), return_full_state=True), (Label("encoded_h"), Label("encoded_c")),
        ])  # fmt: skip
        cells = [LSTM(hidden) for _ in range(2)]
        inside, outside, project = Stabilizer(), Stabilizer(), Dense(words, name="out_proj")
        attention = AttentionModel(64, None, None, name="attention_model")

    @C.Function
    def decode(history: Any, sentence: Any) -> Any:
        encoded = encode(sentence)
        r = inside(embed(history))

        @C.Function
        def with_attention(dh: Any, dc: Any, x: Any) -> Any:
            return cells[0](dh, dc, C.splice(x, attention(encoded.outputs[0], dh)))

        r = Recurrence(with_attention)(r)
        r = Recurrence(cells[1])(r)
        return Label("out_proj_out")(project(outside(r)))

    sentence = C.sequence.input_variable(words, sequence_axis=source, name="raw_input")
    labels = C.sequence.input_variable(words, sequence_axis=target, name="raw_labels")
    z = decode(Delay()(labels), sentence)
    return C.combine([C.cross_entropy_with_softmax(z, labels), C.classification_error(z, labels)])


def tagger(_folder: Path) -> Any:
    """Tutorial 202, in both directions."""
    words = C.sequence.input_variable(943, is_sparse=True, name="query")
    h = Embedding(150, name="embed")(words)
    h = C.splice(Recurrence(LSTM(150))(h), Recurrence(LSTM(150), go_backwards=True)(h))
    return Dense(129, name="classify")(h)


def densenet(folder: Path) -> Path:
    """Twelve layers in three dense blocks as an ONNX file: operators, and nothing that says where blocks begin."""
    nodes, tensors = [], []

    def add(op: str, *inputs: str, weights: Sequence[tuple[int, ...]] = (), **attributes: Any) -> str:
        out = f"{op.lower()}{len(nodes)}"
        names = [f"{out}.{'wbmv'[i]}" for i in range(len(weights))]
        tensors.extend(onnx.tensor(n, np.zeros(s, np.float32)) for n, s in zip(names, weights, strict=True))
        nodes.append(onnx.node(op, [*inputs, *names], [out], out, **attributes))
        return out

    def convolved(x: str, channels: int, width: int, side: int) -> str:
        h = add("BatchNormalization", x, weights=[(channels,)] * 4)
        sides: dict[str, Any] = {"kernel_shape": (side, side), "pads": (side // 2,) * 4}
        return add("Conv", add("Relu", h), weights=[(width, channels, side, side)], **sides)

    h, channels = add("Conv", "image", weights=[(16, 3, 3, 3)], kernel_shape=(3, 3), pads=(1,) * 4), 16
    for block in range(3):
        for _ in range(4):
            h, channels = add("Concat", h, convolved(h, channels, 12, 3), axis=1), channels + 12
        if block < 2:
            h, channels = convolved(h, channels, channels // 2, 1), channels // 2
            h = add("AveragePool", h, kernel_shape=(2, 2), strides=(2, 2))
    h = add("Flatten", add("GlobalAveragePool", h))
    nodes.append(onnx.node("Softmax", [add("Gemm", h, weights=[(channels, 10), (10,)])], ["class"], "softmax"))
    ends = [onnx.value("image", 1, "N", 3, 32, 32)], [onnx.value("class", 1, "N", 10)]
    path = folder / "densenet.onnx"
    path.write_bytes(onnx.model(onnx.graph(nodes, *ends, tensors)))
    return path


def gan(_folder: Path) -> Any:
    """Tutorial 206: both losses, the discriminator used twice."""
    noise = C.input_variable(100, name="noise")
    real = C.input_variable((1, 28, 28), name="real")
    generate = Sequential([
        Dense((128, 7, 7), C.relu), BatchNormalization(map_rank=1),
        ConvolutionTranspose2D((5, 5), 64, C.relu, strides=2, pad=True, output_shape=(14, 14)),
        BatchNormalization(map_rank=1),
        ConvolutionTranspose2D((5, 5), 1, C.tanh, strides=2, pad=True, output_shape=(28, 28)),
    ])  # fmt: skip
    judge = Sequential([
        Convolution2D((5, 5), 64, C.leaky_relu, strides=2, pad=True),
        Convolution2D((5, 5), 128, C.leaky_relu, strides=2, pad=True), Dense(1, C.sigmoid),
    ])  # fmt: skip
    of_real, of_fake = judge(real), judge(generate(noise))
    return C.combine([-C.log(of_fake), -(C.log(of_real) + C.log(1 - of_fake))])


def deep(_folder: Path) -> Any:
    """200 layers, each a Dense with normalization and a shortcut every second one."""
    h = C.input_variable(64, name="features")
    for i in range(100):
        h = h + Dense(64)(Dense(64, C.relu)(h)) if i % 4 else LayerNormalization()(Dense(64, C.tanh)(Dense(64)(h)))
    return Dense(2, name="yes_or_no")(h)


def alike(model: Model) -> Model:
    """The model with weights that start from the same numbers as those of any other."""

    def made(folder: Path) -> Any:
        C.cntk_py.set_fixed_random_seed(1)
        return model(folder)

    return made


MODELS: Final[dict[str, Model]] = {
    "mlp": alike(mlp), "convnet": convnet, "resnet-20": alike(resnet_20), "resnet-50": resnet_50, "encoder": encoder,
    "seq2seq": seq2seq, "tagger": tagger, "densenet": densenet, "gan": gan, "deep": deep,
}  # fmt: skip


def _deeper_resnet(_folder: Path) -> Any:
    h = _conv_bn(C.input_variable((3, 32, 32), name="image"), 16, 3)
    for stage, width in enumerate((16, 32, 64)):
        for unit in range(4 if stage == 1 else 3):
            h = _basic(h, width, 2 if stage and not unit else 1)
    return Dense(100, name="class")(Dropout(0.3)(GlobalAveragePooling()(h)))


CHANGED: Final[dict[str, Model]] = {"mlp": alike(wider_mlp), "resnet-20": alike(_deeper_resnet)}

"""Networks to begin with: whole programs, small enough to be read and large enough to be trained.

Each is one text in the language of composed programs; a test builds and evaluates every one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cntk_lab.errors import AttributeValueError


@dataclass(frozen=True, slots=True)
class Template:
    """A network to begin with.

    Args:
        name: by which it is asked for.
        title: for the user.
        summary: one line.
        source: the program.
    """

    name: str
    title: str
    summary: str
    source: str


_TEXTS: Final = {
    "mlp": (
        "Multilayer perceptron",
        "Two hidden layers for vectors, such as 28 x 28 pixels in a row",
        """
features = C.input_variable(784, name="features")
model = C.layers.Sequential([
    C.layers.Dense(256, activation=C.relu),
    C.layers.Dropout(0.2),
    C.layers.Dense(64, activation=C.relu),
    C.layers.Dense(10),
])(features)
""",
    ),
    "convnet": (
        "Convolutional network",
        "Two convolutions with pooling for small images (MNIST)",
        """
features = C.input_variable((1, 28, 28), name="features")
model = C.layers.Sequential([
    C.layers.Convolution2D((5, 5), 32, activation=C.relu, pad=True),
    C.layers.MaxPooling((2, 2), strides=2),
    C.layers.Convolution2D((3, 3), 48, activation=C.relu, pad=True),
    C.layers.MaxPooling((2, 2), strides=2),
    C.layers.Dense(96, activation=C.relu),
    C.layers.Dropout(0.5),
    C.layers.Dense(10),
])(features)
""",
    ),
    "resnet": (
        "Residual network",
        "Shortcuts around pairs of convolutions for colour images (CIFAR-10)",
        """
features = C.input_variable((3, 32, 32), name="features")
model = C.layers.Sequential([
    C.layers.Convolution2D((3, 3), 16, pad=True, bias=False),
    C.layers.BatchNormalization(map_rank=1),
    C.relu,
    C.layers.For(range(3), lambda: C.layers.Sequential([
        C.layers.ResNetBlock(C.layers.Sequential([
            C.layers.Convolution2D((3, 3), 16, pad=True, bias=False),
            C.layers.BatchNormalization(map_rank=1),
            C.relu,
            C.layers.Convolution2D((3, 3), 16, pad=True, bias=False),
            C.layers.BatchNormalization(map_rank=1),
        ])),
        C.relu,
    ])),
    C.layers.GlobalAveragePooling(),
    C.layers.Dense(10),
])(features)
""",
    ),
    "tagger": (
        "LSTM tagger",
        "A label for every word of a sentence, reading both ways (ATIS)",
        """
words = C.sequence.input_variable(943, is_sparse=True, name="words")
model = C.layers.Sequential([
    C.layers.Embedding(150),
    (C.layers.Recurrence(C.layers.LSTM(150)), C.layers.Recurrence(C.layers.LSTM(150), go_backwards=True)),
    C.splice,
    C.layers.Dense(129),
])(words)
""",
    ),
    "seq2seq": (
        "Sequence to sequence with attention",
        "An encoder, and a decoder that looks at all of its frames",
        """
source = C.sequence.input_variable(69, sequence_axis=C.Axis("source"), name="source")
target = C.sequence.input_variable(69, sequence_axis=C.Axis("target"), name="target")
encoded = C.layers.Sequential([
    C.layers.Embedding(64),
    C.layers.Recurrence(C.layers.GRU(128), go_backwards=True),
    C.layers.Recurrence(C.layers.GRU(128)),
])(source)
before = C.sequence.past_value(target)
decoded = C.layers.Sequential([
    C.layers.Embedding(64),
    C.layers.Recurrence(C.layers.GRU(128)),
])(before)
context = C.layers.AttentionModel(64)(encoded, decoded)
both = C.splice(decoded, context)
model = C.layers.Dense(69)(both)
""",
    ),
    "transformer": (
        "Transformer encoder",
        "Self-attention and a feed-forward part, each with a shortcut, over a sentence",
        """
words = C.sequence.input_variable(64, name="words")
attended = C.layers.AttentionModel(64)(words, words)
joined = C.layers.LayerNormalization()(words + attended)
widened = C.layers.Sequential([
    C.layers.Dense(256, activation=C.relu),
    C.layers.Dense(64),
])(joined)
model = C.layers.LayerNormalization()(joined + widened)
""",
    ),
    "autoencoder": (
        "Autoencoder",
        "Squeezes a vector to 32 numbers and makes it again",
        """
features = C.input_variable(784, name="features")
code = C.layers.Sequential([
    C.layers.Dense(128, activation=C.relu),
    C.layers.Dense(32, name="code"),
])(features)
model = C.layers.Sequential([
    C.layers.Dense(128, activation=C.relu),
    C.layers.Dense(784, activation=C.sigmoid),
])(code)
""",
    ),
    "gan": (
        "GAN pair",
        "A generator of images, and a discriminator that is shown real ones and its own",
        """
noise = C.input_variable(100, name="noise")
real = C.input_variable(784, name="real")
generated = C.layers.Sequential([
    C.layers.Dense(128, activation=C.relu),
    C.layers.Dense(784, activation=C.tanh),
])(noise)
discriminator = C.layers.Sequential([
    C.layers.Dense(128, activation=C.leaky_relu),
    C.layers.Dense(1, activation=C.sigmoid),
])
on_real = discriminator(real)
on_generated = discriminator(generated)
model = C.combine(on_real, on_generated)
""",
    ),
}


def templates() -> tuple[Template, ...]:
    """All networks to begin with, simplest first."""
    return tuple(
        Template(name, title, summary, f'"""{title}."""\n\nimport cntk_lab as C\n{source}')
        for name, (title, summary, source) in _TEXTS.items()
    )


def template(name: str) -> Template:
    """The network of a name.

    Raises:
        AttributeValueError: if there is none.
    """
    found = next((t for t in templates() if t.name == name), None)
    if found is None:
        raise AttributeValueError(f"there is no template {name!r}", fix=f"there are {', '.join(_TEXTS)}")
    return found

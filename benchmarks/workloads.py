"""What is measured: names, sizes, bars and data of the workloads, the same for every engine.

Only NumPy is used, in forms that NumPy 1.16 on Python 3.6 knows too, because CNTK 2.7 runs there. Every engine is
given the same minibatches, in turn; how the models are built is in ``engines/``. Knows no engine.
"""

# ruff: noqa: UP004, B904, RUF005 (Python 3.6 runs this)
import numpy as np

MINIBATCHES = 8
"""Different minibatches that are fed in turn."""


class Workload(object):
    """One workload.

    Args:
        name: its short name on the command line.
        title: what the table calls it.
        kind: which model the engines build.
        bars: how many times faster than the better of PyTorch's two modes, and than CNTK 2.7, it must be (None: no
            bar).
        sizes: numbers that the model and the data are made from; with ``inference`` the model is only evaluated.
    """

    def __init__(self, name, title, kind, bars, **sizes):
        self.name, self.title, self.kind, self.bars, self.sizes = name, title, kind, bars, sizes

    @property
    def inference(self):
        """Whether the model is evaluated, not trained."""
        return bool(self.sizes.get("inference"))

    def __getattr__(self, size):
        try:
            return self.__dict__["sizes"][size]
        except KeyError:
            raise AttributeError(size)


_ALL = [
    Workload(
        "logistic",
        "logistic regression 2-2, batch 25",
        "dense",
        (20, 25),
        widths=(2, 2),
        batch=25,
        act="",
        momentum=0.0,
    ),
    Workload(
        "softmax",
        "softmax regression 784-10, batch 64",
        "dense",
        (5, 10),
        widths=(784, 10),
        batch=64,
        act="",
        momentum=0.0,
    ),
    Workload(
        "mlp64",
        "MLP 784-400-200-10 relu, batch 64",
        "dense",
        (1.9, 4),
        widths=(784, 400, 200, 10),
        batch=64,
        act="relu",
        momentum=0.9,
    ),
    Workload(
        "mlp512",
        "MLP 784-400-200-10 relu, batch 512",
        "dense",
        (1.2, 3),
        widths=(784, 400, 200, 10),
        batch=512,
        act="relu",
        momentum=0.9,
    ),
    Workload(
        "speech",
        "MLP 40-512-512-9000 sigmoid, batch 256",
        "dense",
        (1.4, 5),
        widths=(40, 512, 512, 9000),
        batch=256,
        act="sigmoid",
        momentum=0.9,
    ),
    Workload(
        "conv103",
        "ConvNet 103D, 1x28x28, batch 64",
        "convnet",
        (1.5, 3.5),
        batch=64,
        image=(1, 28, 28),
        momentum=0.9,
        layers=(("conv", 8, 5, 2), ("conv", 16, 5, 2), ("dense", 10)),
    ),
    Workload(
        "cifar",
        "CIFAR ConvNet (4 convs of 64, 2 dense), batch 64",
        "convnet",
        (1.25, 4),
        batch=64,
        image=(3, 32, 32),
        momentum=0.9,
        layers=(
            ("conv", 64, 3, 1),
            ("conv", 64, 3, 1),
            ("pool", 3, 2),
            ("conv", 64, 3, 1),
            ("conv", 64, 3, 1),
            ("pool", 3, 2),
            ("dense", 256),
            ("dense", 128),
            ("dense", 10),
        ),
    ),
    Workload(
        "resnet20",
        "ResNet-20 CIFAR, batch 64",
        "resnet",
        (1.25, 4),
        batch=64,
        image=(3, 32, 32),
        momentum=0.9,
        blocks=3,
        widths=(16, 32, 64),
    ),
    Workload(
        "lstm25",
        "LSTM classifier 50-25, 32 ragged sequences",
        "classifier",
        (10, 12),
        inputs=50,
        hidden=25,
        classes=5,
        batch=32,
        lengths=(1, 40),
        momentum=0.9,
    ),
    Workload(
        "lstm300",
        "LSTM classifier 150-300, 32 ragged sequences",
        "classifier",
        (2.3, 5),
        inputs=150,
        hidden=300,
        classes=5,
        batch=32,
        lengths=(1, 40),
        momentum=0.9,
    ),
    Workload(
        "tagger",
        "LSTM tagger 300, vocabulary 943, 500 tokens",
        "tagger",
        (2.7, 6),
        vocabulary=943,
        embedding=150,
        hidden=300,
        classes=129,
        tokens=500,
        lengths=(4, 20),
        momentum=0.9,
    ),
    Workload(
        "transformer",
        "Transformer encoder d128 h4 ff512, 2 layers, 32x64",
        "transformer",
        (1.3, None),
        d=128,
        heads=4,
        ff=512,
        layers=2,
        batch=32,
        length=64,
        classes=10,
        momentum=0.9,
    ),
    Workload("chain", "elementwise chain 1M with gradient", "chain", (8, 40), elements=1000000),
]


def _evaluated(of, name, title, **sizes):
    """Inference by the model of a training workload, for one sample and for 64; no bar but to be ahead."""
    trained = next(w for w in _ALL if w.name == of)
    return [
        Workload(
            f"eval-{name}-{n}",
            f"{title}, batch {n}",
            trained.kind,
            (1, 1),
            **dict(trained.sizes, batch=n, inference=True, **sizes),
        )
        for n in (1, 64)
    ]


_ALL += (
    _evaluated("mlp64", "mlp", "MLP 784-400-200-10 relu")
    + _evaluated("conv103", "conv103", "ConvNet 103D, 1x28x28")
    + _evaluated("cifar", "cifar", "CIFAR ConvNet (4 convs of 64, 2 dense)")
    + _evaluated("tagger", "tagger", "LSTM tagger 300, vocabulary 943")
)
WORKLOADS = {w.name: w for w in _ALL}


def lengths_of(w, rng):
    """Lengths of one minibatch's sequences."""
    low, high = w.lengths
    if "batch" in w.sizes:
        return rng.randint(low, high + 1, w.batch).tolist()
    lengths = []
    while sum(lengths) < w.tokens:
        lengths.append(min(int(rng.randint(low, high + 1)), w.tokens - sum(lengths)))
    return lengths


def minibatches(w):
    """The minibatches of a workload: tuples of arrays, or of lists with one array for each sequence."""
    rng = np.random.RandomState(7)
    return [_MAKERS[w.kind](w, rng) for _ in range(MINIBATCHES)]


def one_hot(numbers, classes):
    """Rows with a single 1."""
    rows = np.zeros((len(numbers), classes), np.float32)
    rows[np.arange(len(numbers)), numbers] = 1
    return rows


def _labelled(shape, classes, rng):
    labels = rng.randint(0, classes, shape[0])
    return rng.randn(*shape).astype(np.float32), one_hot(labels, classes), labels.astype(np.int64)


def _dense(w, rng):
    return _labelled((w.batch, w.widths[0]), w.widths[-1], rng)


def _images(w, rng):
    return _labelled((w.batch,) + tuple(w.image), 10, rng)


def _classifier(w, rng):
    lengths = lengths_of(w, rng)
    labels = rng.randint(0, w.classes, len(lengths))
    return (
        [rng.randn(n, w.inputs).astype(np.float32) for n in lengths],
        one_hot(labels, w.classes),
        labels.astype(np.int64),
    )


def _tagger(w, rng):
    lengths = lengths_of(w, rng)
    words = [rng.randint(0, w.vocabulary, n).astype(np.int64) for n in lengths]
    return words, [rng.randint(0, w.classes, n).astype(np.int64) for n in lengths]


def _transformer(w, rng):
    return _labelled((w.batch, w.length, w.d), w.classes, rng)


def _chain(w, rng):
    return (rng.randn(w.elements).astype(np.float32),)


_MAKERS = {
    "dense": _dense,
    "convnet": _images,
    "resnet": _images,
    "classifier": _classifier,
    "tagger": _tagger,
    "transformer": _transformer,
    "chain": _chain,
}

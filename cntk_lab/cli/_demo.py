"""The demo: trains a small model on MNIST by the Layers API and draws its graph and its curves.

A plain user of the package: everything here could stand in a notebook, and does, in tutorial 103.

Source: the models are those of CNTK tutorials 103C and 103D; the schedule is this project's own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

import cntk_lab as C
from cntk_lab import datasets
from cntk_lab.default_options import default_options
from cntk_lab.errors import NotAvailableError, TrainingError
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.randomness import reset_random_seed
from cntk_lab.widgets import display, of_function

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float32]

MINIBATCH: Final = 64  # samples
TEST_MINIBATCH: Final = 1000  # samples
PROGRESS: Final = 300  # minibatches between two progress lines
MOMENTUM: Final = 0.9  # per minibatch


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained.

    Args:
        build: makes the model's Function of an input variable.
        epochs: passes over the training images.
        rate: learning rate of the first epoch, per minibatch of 64; it falls in a straight line to 0.
        decay: weight of the L2 penalty.
    """

    build: Callable[[], Function]
    epochs: int
    rate: float
    decay: float


@dataclass
class Curves:
    """What was measured after each epoch: mean training loss, training error and test error (fractions)."""

    loss: list[float] = field(default_factory=list)
    train_error: list[float] = field(default_factory=list)
    test_error: list[float] = field(default_factory=list)


def convnet() -> Function:
    """Two convolutions of 8 and 16 filters, 5 x 5, which halve the picture twice, and a dense layer (10 outputs)."""
    with default_options(activation=C.relu, pad=True):
        model: Function = C.layers.Sequential(
            [
                C.layers.Convolution2D((5, 5), 8, strides=2, name="first_conv"),
                C.layers.Convolution2D((5, 5), 16, strides=2, name="second_conv"),
                C.layers.Dense(10, activation=None, name="classify"),
            ]
        )
    return model


def mlp() -> Function:
    """Two dense layers of 400 units and one of 10 outputs."""
    with default_options(activation=C.relu):
        model: Function = C.layers.Sequential(
            [
                C.layers.Dense(400, name="first_hidden"),
                C.layers.Dense(400, name="second_hidden"),
                C.layers.Dense(10, activation=None, name="classify"),
            ]
        )
    return model


RECIPES: Final = {
    "convnet": Recipe(convnet, epochs=12, rate=0.05, decay=3e-4),
    "mlp": Recipe(mlp, epochs=10, rate=0.1, decay=2e-5),
}


def run_demo(
    out: Path, *, model: str = "convnet", epochs: int | None = None, seed: int = 1, offline: bool | None = None
) -> float:
    """Train a model on MNIST, write graph.svg and curves.png, and return the test error as a fraction.

    Args:
        out: folder for the pictures; made if missing.
        model: "convnet" or "mlp".
        epochs: passes over the training images; the recipe's own if None.
        seed: of the initial weights and of the order and shifts of the images.
        offline: True never downloads.

    Raises:
        NotAvailableError: if the data is not to be had.
        TrainingError: if the loss is no longer a number.
    """
    out.mkdir(parents=True, exist_ok=True)
    digits = datasets.mnist(offline=offline)
    recipe = RECIPES[model]
    reset_random_seed(seed)
    x, y = C.input_variable((1, 28, 28), name="x"), C.input_variable(10, name="y")
    z = recipe.build()(x)
    _draw(out / "graph.svg", lambda path: path.write_text(display.svg(of_function.snapshot_of(z)), "utf-8"))
    started = time.perf_counter()
    curves = train(z, x, y, recipe, digits, epochs or recipe.epochs, seed)
    _say(f"trained for {time.perf_counter() - started:.1f} s")
    _draw(out / "curves.png", lambda path: curves_figure(curves, model).savefig(path))
    _say(f"test error: {100 * curves.test_error[-1]:.2f} %")
    return curves.test_error[-1]


def train(
    z: Function, x: Variable, y: Variable, recipe: Recipe, digits: datasets.ImageSet, epochs: int, seed: int
) -> Curves:
    """Train a model and measure it on the test images after each epoch; see :func:`run_demo`."""
    count = len(digits.train)
    rates = [round(recipe.rate * (1 - epoch / epochs), 5) for epoch in range(epochs)]
    learner = C.momentum_sgd(
        z.parameters,
        C.learning_parameter_schedule(rates, minibatch_size=MINIBATCH, epoch_size=count),
        C.momentum_schedule(MOMENTUM, minibatch_size=MINIBATCH),
        unit_gain=False,
        l2_regularization_weight=recipe.decay,
    )
    printer = C.logging.ProgressPrinter(freq=PROGRESS, tag="Training", num_epochs=epochs)
    criterion = (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y))
    trainer = C.Trainer(z, criterion, [learner], [printer])
    random, curves = np.random.default_rng(seed), Curves()
    for _ in range(epochs):
        loss = error = 0.0
        for images, labels in minibatches(digits.train, random):
            trainer.train_minibatch({x: images, y: labels})
            loss += trainer.previous_minibatch_loss_average * len(images)
            error += trainer.previous_minibatch_evaluation_average * len(images)
        if not np.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} after {len(curves.loss)} good epochs", "demo", "lower the learning rate"
            )
        trainer.summarize_training_progress()
        curves.loss.append(loss / count)
        curves.train_error.append(error / count)
        curves.test_error.append(test_error(trainer, x, y, digits.test))
    return curves


def minibatches(images: datasets.Images, random: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """One pass over shuffled images; each minibatch is moved by up to one pixel, so that no stroke has a fixed place.

    Moving by one pixel lowers the ConvNet's test error from 1.1 to 0.9 % (PyTorch, four seeds each).
    """
    order, pixels, labels = random.permutation(len(images)), images.images, images.one_hot()
    for start in range(0, len(order), MINIBATCH):
        chosen = order[start : start + MINIBATCH]
        down, right = random.integers(-1, 2, 2)
        yield np.roll(pixels[chosen], (down, right), (2, 3)), labels[chosen]


def test_error(trainer: C.Trainer, x: Variable, y: Variable, images: datasets.Images) -> float:
    """The share of images that get a wrong label."""
    labels, wrong = images.one_hot(), 0.0
    for start in range(0, len(images), TEST_MINIBATCH):
        part = slice(start, start + TEST_MINIBATCH)
        wrong += trainer.test_minibatch({x: images.images[part], y: labels[part]}) * len(labels[part])
    trainer.summarize_test_progress()
    return wrong / len(images)


def curves_figure(curves: Curves, title: str) -> Figure:
    """Loss on the left, errors on the right, epoch by epoch."""
    from matplotlib.figure import Figure

    epochs = range(1, len(curves.loss) + 1)
    figure = Figure(figsize=(8, 3.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, curves.loss, marker="o", color="#1f5fa8")
    left.set(title=f"{title}: training loss", xlabel="epoch", yscale="log")
    right.plot(epochs, [100 * e for e in curves.train_error], marker="o", color="#1f5fa8", label="training images")
    right.plot(epochs, [100 * e for e in curves.test_error], marker="s", color="#c2571a", label="test images")
    right.set(
        title=f"wrong digits: {100 * curves.test_error[-1]:.2f} % at the end",
        xlabel="epoch",
        ylabel="%",
        ylim=(0, None),
    )
    right.legend(frameon=False)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _draw(path: Path, draw: Callable[[Path], object]) -> None:
    """Write a picture; where the drawing part is missing the demo goes on and says so."""
    try:
        draw(path)
    except (NotAvailableError, ImportError) as error:
        _say(f"{path.name} is not drawn: {error}")
    else:
        _say(f"wrote {path}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

"""Draw a random program: operators, shapes, shared parts, several outputs, training; only what can be built is kept.

The graph is built while it is drawn, so that shapes and dynamic axes are the package's own. What a draw may add is a
table (``steps.DRAWS``); this module has the hand that draws: operands, names, sizes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import cntk_lab as C
from cntk_lab.errors import LabError
from tests.programs.program import Input, Program, Shape, Step
from tests.programs.words import numbers

LARGEST = 600
"""Elements of a value per row."""
SHAPES: tuple[Shape, ...] = ((4,), (6,), (1,), (2, 3), (4, 6), (3, 1), (1, 5), (2, 6, 6), (3, 4, 4), (2, 1, 4), (33,))
LEARNERS = (
    "C.sgd(parameters, C.learning_parameter_schedule_per_sample(0.02))",
    "C.momentum_sgd(parameters, C.learning_parameter_schedule_per_sample(0.01), C.momentum_schedule(0.9))",
    "C.momentum_sgd(parameters, 0.02, 0.5, unit_gain=False, minibatch_size=1)",
    "C.adam(parameters, C.learning_parameter_schedule_per_sample(0.01), C.momentum_schedule(0.9))",
    "C.adam(parameters, 0.01, 0.9, unit_gain=False, l2_regularization_weight=0.01)",
    "C.nesterov(parameters, C.learning_parameter_schedule_per_sample(0.01), C.momentum_schedule(0.9))",
    "C.rmsprop(parameters, 0.01, 0.9, 1.1, 0.9, 2.0, 0.5)",
    "C.adagrad(parameters, 0.05, gradient_clipping_threshold_per_sample=0.5)",
    "C.fsadagrad(parameters, 0.01, 0.9)",
    "C.adadelta(parameters, 1.0)",
)
CALLS = ((3, 70, 1, 3), (1, 3, 1), (70, 3, 70), (2, 65, 64, 130), (3, 3, 3), (5, 200, 5))


class Hand:
    """A program being drawn.

    Args:
        seed: everything follows from it.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, random.Random(seed)
        self.dtype = "float64" if self.random.random() < 0.12 else "float32"
        self.scope: dict[str, Any] = {"C": C, "np": np, "numbers": numbers, "dtype": np.dtype(self.dtype).type}
        self.inputs: list[Input] = []
        self.steps: list[Step] = []
        self.values: list[str] = []
        """Names of values that have data, in the order in which they were made."""
        self.refused = 0
        self.odd: tuple[str, str] | None = None
        """A line that raised what is no error of ours."""

    # ---- what there is

    def shape(self, name: str) -> Shape:
        """The static shape of a value."""
        return tuple(self.scope[name].shape)

    def axes(self, name: str) -> int:
        """How many dynamic axes a value has."""
        return len(self.scope[name].dynamic_axes)

    def chance(self, share: float) -> bool:
        """Whether something happens."""
        return self.random.random() < share

    def pick(self, wanted: Callable[[str], bool] = lambda name: True) -> str | None:
        """A value, most often a recent one."""
        fitting = [v for v in self.values if wanted(v)]
        if not fitting:
            return None
        return self.random.choice(fitting[-3:] if self.chance(0.6) else fitting)

    def choice(self, things: Sequence[Any]) -> Any:
        """One of them."""
        return self.random.choice(things)

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self.random.randint(low, high)

    # ---- what is added

    def input(self, axes: str, shape: Shape, kind: str = "normal", *, sparse: bool = False) -> str:
        """A new input."""
        made = Input(f"x{len(self.inputs)}", axes, shape, kind, sparse)
        exec(made.line(), self.scope)  # noqa: S102  (a line of our own)
        self.inputs.append(made)
        return made.name

    def add(self, text: str, *operands: str) -> str | None:
        """A new value, if it can be built and is not too large."""
        step = Step(f"v{len(self.steps)}", text, operands)
        try:
            exec(step.line(), self.scope)  # noqa: S102  (a line of our own)
        except LabError:
            self.refused += 1
            return None
        except Exception as error:  # noqa: BLE001  (this is what is looked for)
            self.odd = self.odd or (step.line(), f"{type(error).__name__}: {error}")
            return None
        value = self.scope[step.name]
        shape = value.shape
        largest = LARGEST if value.dynamic_axes else 100 * LARGEST
        if any(d <= 0 for d in shape) or int(np.prod(shape)) > largest or len(shape) > 5:
            del self.scope[step.name]
            return None
        self.steps.append(step)
        if not text.startswith("C.parameter"):
            self.values.append(step.name)
        return step.name

    def parameter(self, shape: Shape, scale: float = 1.0) -> str:
        """A new parameter, or one of the same shape that is there."""
        same = [s.name for s in self.steps if s.text.startswith("C.parameter") and self.shape(s.name) == shape]
        if same and self.chance(0.15):
            return str(self.choice(same))
        seed = self.whole(0, 10**6)
        made = self.add(f"C.parameter(init=numbers({shape}, {seed}, dtype, {scale}))")
        assert made is not None
        return made

    def tame(self, name: str) -> str:
        """The value, most often squeezed, so that numbers stay of a size that can be compared."""
        squeeze = self.choice(("C.tanh({0})", "C.sigmoid({0})", "C.softsign({0})", "{0} * 0.5"))
        return (self.add(squeeze, name) or name) if self.chance(0.7) else name


def draw(seed: int) -> Program:
    """The program of a seed."""
    return drawn(seed)[0]


def drawn(seed: int) -> tuple[Program, Hand]:
    """The program of a seed, and the hand that drew it."""
    from tests.programs.steps import draw_step, product

    hand = Hand(seed)
    sequence = hand.chance(0.45)
    _inputs(hand, sequence)
    for _ in range(hand.choice((2, 3, 4, 6, 9))):
        draw_step(hand)
    if hand.chance(0.25):
        product(hand)
    made = [v for v in hand.values if v.startswith("v")]
    if not made:
        made = [hand.add("C.tanh({0})", "x0") or "x0"]
    count = min(len(made), hand.choice((1, 1, 1, 2, 3)))
    outputs = [made[-1], *hand.random.sample(made[:-1], count - 1)] if count > 1 else [made[-1]]
    mode = hand.choice(("eval", "grad", "train", "train"))
    if mode == "grad" and not hand.scope[outputs[0]].dynamic_axes:
        mode = "eval"
    program = Program(seed, hand.dtype, tuple(hand.inputs), tuple(hand.steps), tuple(outputs)).pruned()
    parameters = C.combine([hand.scope[o] for o in outputs]).parameters
    if mode == "train" and (not parameters or not all(hand.axes(o) for o in outputs)):
        mode = "grad" if hand.axes(outputs[0]) else "eval"
    learner = hand.choice(LEARNERS) if mode == "train" else ""
    return Program(
        seed, hand.dtype, program.inputs, program.steps, tuple(outputs), mode, learner, _calls(hand, sequence)
    ), hand


def _inputs(hand: Hand, sequence: bool) -> None:
    for i in range(hand.choice((1, 1, 2))):
        axes = "sequence" if sequence and (i == 0 or hand.chance(0.7)) else "batch"
        kind = hand.choice(("normal",) * 8 + ("zeros", "odd"))
        name = hand.input(axes, hand.choice(SHAPES), kind)
        hand.values.append(name)


def _calls(hand: Hand, sequence: bool) -> tuple[tuple[int, ...], ...]:
    counts = hand.choice(CALLS)
    if not sequence:
        return tuple((1,) * n for n in counts)
    ragged = not hand.chance(0.2)
    longest = hand.choice((3, 5, 8))
    same = hand.whole(1, longest)
    return tuple(tuple(hand.whole(1, longest) if ragged else same for _ in range(min(n, 70))) for n in counts)

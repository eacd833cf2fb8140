"""A program as plain data: inputs, steps that each make one value, what is asked of it, and the data of each call.

A step is one line of Python in CNTK's words; so a program is what its own script says, and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Input:
    """An input: dynamic axes (``batch`` or ``sequence``), static shape, and what numbers it is fed with."""

    name: str
    axes: str
    shape: Shape
    numbers: str = "normal"
    """``normal``; ``whole``: 0, 1, 2; ``one hot``; ``zeros``: normal with many zeros; ``odd``: with inf and NaN."""
    sparse: bool = False

    def line(self) -> str:
        """The line that makes it."""
        make = "C.input_variable" if self.axes == "batch" else "C.sequence.input_variable"
        gradient = "" if self.sparse or self.numbers in {"whole", "one hot"} else ", needs_gradient=True"
        sparse = ", is_sparse=True" if self.sparse else ""
        return f"{self.name} = {make}({self.shape}, dtype=dtype{sparse}{gradient})"

    def arguments(self, program: Program, place: int) -> str:
        """The arguments of ``words.fed`` that make the data of a call."""
        return (
            f"{self.axes!r}, {self.shape}, {self.numbers!r}, {self.sparse}, np.{program.dtype}, "
            f"lengths, ({program.seed}, {place}, call)"
        )


@dataclass(frozen=True)
class Step:
    """A value: its name, the Python text that makes it (``{0}`` is the first operand), and the operands' names."""

    name: str
    text: str
    operands: tuple[str, ...] = ()

    def expression(self) -> str:
        """What makes the value."""
        return self.text.format(*self.operands)

    def line(self) -> str:
        """The line that makes it."""
        return f"{self.name} = {self.expression()}"


@dataclass(frozen=True)
class Program:
    """Everything that a run follows from.

    Args:
        seed: of its numbers.
        dtype: of its inputs and parameters.
        inputs: what it is fed with.
        steps: in order.
        outputs: names of the values that are wanted.
        mode: ``eval``, ``grad`` (of the first output) or ``train`` (on the sum of all).
        learner: text that makes the learner of ``parameters``, for training.
        calls: for each call, the lengths of its sequences; a batch has as many rows as there are sequences.
    """

    seed: int
    dtype: str
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    mode: str = "eval"
    learner: str = ""
    calls: tuple[tuple[int, ...], ...] = ((1, 1, 1),)

    def lines(self, wrap: str = "") -> list[str]:
        """The lines that build it; with ``wrap``, each value goes through that function first."""
        made = [s.line() if not wrap else f"{s.name} = {wrap}({s.expression()})" for s in self.steps]
        return [*(i.line() for i in self.inputs), *made]

    def pruned(self) -> Program:
        """Without steps and inputs that no output needs (one input stays)."""
        needed = set(self.outputs)
        steps: list[Step] = []
        for s in reversed(self.steps):
            if s.name in needed:
                needed.update(s.operands)
                steps.append(s)
        inputs = tuple(i for i in self.inputs if i.name in needed) or self.inputs[:1]
        return dataclasses.replace(self, inputs=inputs, steps=tuple(reversed(steps)))

    def text(self) -> str:
        """The program as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def of_text(text: str) -> Program:
        """The program that :meth:`text` has written."""
        d = json.loads(text)
        inputs = tuple(Input(**{**i, "shape": tuple(i["shape"])}) for i in d["inputs"])
        steps = tuple(Step(s["name"], s["text"], tuple(s["operands"])) for s in d["steps"])
        calls = tuple(map(tuple, d["calls"]))
        return Program(**{**d, "inputs": inputs, "steps": steps, "outputs": tuple(d["outputs"]), "calls": calls})


SCRIPT = '''"""Found by tests/programs: {what}

Run it in the folder of the repository.
"""
import numpy as np

import cntk_lab as C
from cntk_lab import settings
from tests.programs.words import Session, fed, numbers

TIERS = {{
    "NumPy": {{"native": False, "fuse": False}},
    "native": {{"native_after": 0, "background_compilation": False}},
}}


def build(dtype):
    {lines}
    return locals()


for tier, switches in TIERS.items():
    with settings.option(**switches), np.errstate(all="ignore"):
        made = build(np.{dtype})
        session = Session(made, {outputs}, {mode!r}, {learner!r})
        for call, lengths in enumerate({calls}):
            data = {{
                {data}
            }}
            for name, value in session.call(data).items():
                print(tier, "call", call, name, value.shape, value.ravel()[:12].tolist())
'''


def script(program: Program, what: Iterable[str]) -> str:
    """A Python file that makes the program and prints its values on NumPy and on the native tier."""
    data = [f'made["{i.name}"]: fed({i.arguments(program, place)}),' for place, i in enumerate(program.inputs)]
    return SCRIPT.format(
        what="; ".join(what).replace('"""', "'''").replace("\\", "/"),
        lines="\n    ".join(program.lines()),
        outputs=list(program.outputs),
        mode=program.mode,
        learner=program.learner,
        dtype=program.dtype,
        calls=list(program.calls),
        data=("\n" + " " * 16).join(data),
    )

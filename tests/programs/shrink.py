"""Shrink a program that differs to a minimal one that still does.

Every candidate is a smaller program: fewer outputs, fewer and shorter calls, one step replaced by an operand or by an
input of its shape. One that cannot be built or no longer differs is dropped; from one that does, it starts again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from tests.programs.program import Input, Program, Step
from tests.programs.tiers import built

LARGEST_EFFORT = 150
"""Programs that are tried at most."""


def shrunk(program: Program, differs: Callable[[Program], bool], effort: int = LARGEST_EFFORT) -> Program:
    """A program as small as can be found that still differs."""
    tried: set[str] = set()
    going = True
    while going:
        going = False
        for candidate in _smaller(program):
            text = candidate.text()
            if text in tried:
                continue
            if len(tried) >= effort:
                return program
            tried.add(text)
            if differs(candidate):
                program, going = candidate, True
                break
    return program


def _smaller(program: Program) -> Iterator[Program]:
    yield from _fewer_outputs(program)
    yield from _fewer_calls(program)
    yield from _fewer_steps(program)
    yield from _plainer(program)


def _fewer_outputs(program: Program) -> Iterator[Program]:
    if len(program.outputs) > 1:
        for o in program.outputs:
            yield dataclasses.replace(program, outputs=(o,)).pruned()
        for o in program.outputs:
            yield dataclasses.replace(program, outputs=tuple(p for p in program.outputs if p != o)).pruned()


def _fewer_calls(program: Program) -> Iterator[Program]:
    calls = program.calls
    if len(calls) > 1:
        yield from (dataclasses.replace(program, calls=(c,)) for c in calls)
        yield from (dataclasses.replace(program, calls=calls[:i] + calls[i + 1 :]) for i in range(len(calls)))
    for i, c in enumerate(calls):
        for less in (c[:1], c[:2], c[:3], tuple(min(n, 2) for n in c)):
            if less != c:
                yield dataclasses.replace(program, calls=(*calls[:i], less, *calls[i + 1 :]))


def _fewer_steps(program: Program) -> Iterator[Program]:
    scope = _values(program)
    if scope is None:
        return
    for i in range(len(program.steps) - 1, -1, -1):
        step = program.steps[i]
        for other in step.operands:
            yield _without(program, i, other)
        if step.operands and step.name not in program.outputs and len(program.inputs) < 6:
            value = scope[step.name]
            kind = {1: "batch", 2: "sequence"}.get(len(value.dynamic_axes))
            if kind is not None and value.dtype == np.dtype(program.dtype).type:
                made = Input(_free(program), kind, tuple(value.shape))
                more = dataclasses.replace(program, inputs=(*program.inputs, made))
                yield _without(more, i, made.name)


def _plainer(program: Program) -> Iterator[Program]:
    for i, given in enumerate(program.inputs):
        if given.numbers in {"odd", "zeros"}:
            plain = dataclasses.replace(given, numbers="normal")
            yield dataclasses.replace(program, inputs=(*program.inputs[:i], plain, *program.inputs[i + 1 :]))
    if program.dtype == "float64":
        yield dataclasses.replace(program, dtype="float32")
    if program.mode == "train":
        yield dataclasses.replace(program, mode="grad", learner="")
    if program.mode == "grad":
        yield dataclasses.replace(program, mode="eval")


def _values(program: Program) -> dict[str, object] | None:
    try:
        return built(program, np.dtype(program.dtype).type)
    except Exception:  # noqa: BLE001  (a program that cannot be built has nothing to shrink)
        return None


def _free(program: Program) -> str:
    taken = {i.name for i in program.inputs}
    return next(f"x{n}" for n in range(100) if f"x{n}" not in taken)


def _without(program: Program, place: int, other: str) -> Program:
    """The program with another value in the place of a step's."""
    gone = program.steps[place].name

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(other if n == gone else n for n in names)

    steps = tuple(Step(s.name, s.text, renamed(s.operands)) for i, s in enumerate(program.steps) if i != place)
    outputs = tuple(dict.fromkeys(renamed(program.outputs)))
    return dataclasses.replace(program, steps=steps, outputs=outputs).pruned()

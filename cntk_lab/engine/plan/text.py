"""Plans as text: one line for each step, what is written from what is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cntk_lab.engine.plan.steps import Buffer, Loop, Step


def lines(steps: Iterable[Step], buffers: Sequence[Buffer], indent: str = "") -> Iterator[str]:
    """The lines of steps, those inside loops indented."""
    for s in steps:
        written = ", ".join(str(buffers[w]) for w in s.writes)
        read = ", ".join(f"%{r}" for r in s.reads)
        yield f"{indent}{written} = {s.words()}({read})"
        if isinstance(s, Loop):
            yield from lines(s.body, buffers, indent + "    ")

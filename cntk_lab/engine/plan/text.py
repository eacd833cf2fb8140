"""Plans as text: one line for each step, what is written from what is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cntk_lab.engine.plan.steps import Buffer, Call, Contract, Delay, DelayInitial, Loop, Map, Step


def lines(steps: Iterable[Step], buffers: Sequence[Buffer], indent: str = "") -> Iterator[str]:
    """The lines of steps, those inside loops indented."""
    for s in steps:
        written = ", ".join(str(buffers[w]) for w in s.writes)
        read = ", ".join(f"%{r}" for r in s.reads)
        yield f"{indent}{written} = {describe(s)}({read})"
        if isinstance(s, Loop):
            yield from lines(s.body, buffers, indent + "    ")


def describe(step: Step) -> str:
    """What a step does, in a few words."""
    if isinstance(step, Map):
        return "map {" + "; ".join(f"{o.name} = {e!r}" for o, e in step.kernel.outputs) + "}"
    if isinstance(step, Contract):
        return f"product {step.spec.left},{step.spec.right}->{step.spec.out}{' onto' if len(step.reads) > 2 else ''}"
    if isinstance(step, Call):
        return f"{step.op.name if step.op else '?'}.{step.role}"
    if isinstance(step, (Delay, DelayInitial)):
        return f"{step.kind.lower()}[{step.offset}]"
    if isinstance(step, Loop):
        return f"loop over {step.rows}{' backward' if step.reverse else ''}"
    return step.kind.lower()

"""Which steps on whole arrays only move elements: what slices, splices and transposes say of themselves to the pass
``parts``.

A registry by operator and role, as the backends' registries of native rows are; the pass itself knows no names.
"""

from __future__ import annotations

from collections.abc import Callable

from cntk_lab.engine.parts import Shaping
from cntk_lab.engine.plan import Call


def shaping(step: Call) -> Shaping | None:
    """What a step does, if it only moves elements; None for everything else."""
    if step.op is None:
        return None
    made = _KINDS.get(f"{step.op.name}.{step.role}")
    return None if made is None else made(step)


def _cut(kind: str) -> Callable[[Call], Shaping | None]:
    def say(step: Call) -> Shaping | None:
        cuts = step.scope.get("cuts", ())
        if len(cuts) != 1:
            return None
        axis, begin, _, stride = cuts[0]
        return Shaping(kind, axis, begin) if stride == 1 and begin >= 0 else None

    return say


def _pieces(kind: str) -> Callable[[Call], Shaping | None]:
    return lambda step: Shaping(kind, step.scope["along"], int(step.scope.get("position", 0)))


def _order(kind: str) -> Callable[[Call], Shaping | None]:
    return lambda step: Shaping(kind, order=tuple(step.scope["order"]))


_KINDS: dict[str, Callable[[Call], Shaping | None]] = {
    "slice.forward": _cut("slice"),
    "slice.gradient.x": _cut("unslice"),
    "splice.forward": _pieces("join"),
    "splice.gradient.inputs": _pieces("unjoin"),
    "transpose.forward": _order("transpose"),
    "transpose.gradient.x": _order("untranspose"),
    "swapaxes.forward": _order("transpose"),
    "swapaxes.gradient.x": _order("untranspose"),
}

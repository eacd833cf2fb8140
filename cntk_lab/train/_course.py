"""What decides how a training goes on beside parameters and learners: random streams and carried frames, for files.

Both belong to nodes. In the program that carries on, nodes may have other uids, so they are found by their place among
those of their kind when their uids are not there. Must not know files: it gives and takes plain values that a
checkpoint's external state can hold.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cntk_lab.device import DeviceDescriptor
from cntk_lab.engine.arrays.delays import Carried
from cntk_lab.engine.ask.runs import state_of
from cntk_lab.errors import FormatError, LabWarning
from cntk_lab.graph import walk
from cntk_lab.graph.opdef import Trait
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.arrays import module_of, to_host
from cntk_lab.tensor.mersenne import MersenneTwister64
from cntk_lab.tensor.philox import CounterStream

ENTRY: Final = "cntk_lab_course"
"""Name under which a checkpoint's external state holds it; CNTK passes it by."""
_NODES, _STREAMS, _FRAMES = "nodes", "random_streams", "carried_frames"


def course(roots: Sequence[Variable]) -> dict[str, Any]:
    """Random streams and frames that the next minibatch may continue, as plain values; empty if there are none.

    Args:
        roots: loss and metric; the first one's node owns the state.
    """
    state = state_of(roots[0].node)
    frames = {uid: to_host(c.frames()) for uid, c in state.carried.items()}
    streams = {uid: _text(s) for uid, s in state.streams.items()}
    if not frames and not streams:
        return {}
    return {_NODES: _nodes(roots), _STREAMS: streams, _FRAMES: frames}


@dataclass(frozen=True, slots=True)
class Course:
    """Streams and frames read from a checkpoint, ready to be put in their places."""

    streams: dict[str, Any]
    carried: dict[str, Carried]

    def take(self, roots: Sequence[Variable]) -> None:
        """Make the state of these roots what it was; what the checkpoint does not have begins anew."""
        state = state_of(roots[0].node)
        state.streams, state.carried = dict(self.streams), dict(self.carried)


def course_of(entries: Mapping[str, Any], roots: Sequence[Variable], device: DeviceDescriptor) -> Course:
    """What a checkpoint holds, for these nodes; nothing is changed yet.

    Args:
        entries: from :func:`course`; empty if a checkpoint has none.
        roots: loss and metric.
        device: where random numbers are made.

    Raises:
        FormatError: if the entries are none of :func:`course`.
    """
    streams, frames = (_part(entries, key, kind) for key, kind in ((_STREAMS, str), (_FRAMES, np.ndarray)))
    names = _names(entries, _nodes(roots), {*streams, *frames})
    module = module_of(device)
    return Course(
        {names[uid]: _stream(text, module) for uid, text in streams.items() if uid in names},
        {names[uid]: Carried.of(array) for uid, array in frames.items() if uid in names},
    )


def _nodes(roots: Sequence[Variable]) -> list[str]:
    """Uids of the nodes that may have a stream or carry frames, operands before users."""
    kinds = (Trait.RANDOM, Trait.RECURRENT)
    return [node.uid for node in walk.flat_nodes(roots) if any(node.op.has(kind) for kind in kinds)]


def _names(entries: Mapping[str, Any], present: list[str], used: set[str]) -> dict[str, str]:
    """Uid in the file -> uid of the node here."""
    if used <= set(present):
        return {uid: uid for uid in used}
    saved = entries.get(_NODES)
    if isinstance(saved, list) and len(saved) == len(present) and used <= set(saved):
        return dict(zip(saved, present, strict=True))
    warnings.warn(
        f"the checkpoint has random streams or carried frames of {len(used)} operators, this model has other ones: "
        "they begin anew",
        LabWarning,
        stacklevel=5,
    )
    return {}


def _part(entries: Mapping[str, Any], key: str, kind: type) -> dict[str, Any]:
    found = entries.get(key, {})
    if not isinstance(found, Mapping) or not all(isinstance(v, kind) for v in found.values()):
        raise FormatError(
            f"the entry {key!r} of a checkpoint's course is damaged", f"under {ENTRY}", "take another copy of the file"
        )
    return dict(found)


def _text(stream: Any) -> str:
    if isinstance(stream, CounterStream):
        return f"counter {stream.seed} {stream.step}"
    return f"mt19937-64 {stream.kept()}"


def _stream(text: str, module: Any) -> Any:
    kind, _, rest = text.partition(" ")
    if kind == "mt19937-64":
        return MersenneTwister64.from_kept(rest)
    parts = rest.split(" ")
    if kind != "counter" or len(parts) != 2 or not all(p.isascii() and p.isdigit() for p in parts):
        raise FormatError(
            f"{text[:40]!r} is no random stream", f"under {ENTRY}.{_STREAMS}", "take another copy of the file"
        )
    return CounterStream(int(parts[0]), int(parts[1]), module)

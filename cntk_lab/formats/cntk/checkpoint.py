"""Trainer checkpoints (``.ckp``): the state of learners and readers, as plain records and back.

Must not know trainers or learners: names of schedules, counts and arrays only. Source: checkpoints written by CNTK 2.7
(dictionary with Version, Learners, ExternalState, DistributedState; the spelling ``learnig_rate_schedule`` is the
file's).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk import dictionary as files
from cntk_lab.formats.cntk.description import Entries
from cntk_lab.formats.cntk.values import Dictionary, SizeT, Value

CHECKPOINT_VERSION, LEARNER_VERSION, SCHEDULE_VERSION = 1, 3, 2
_SCHEDULE_KEY = "learnig_rate_schedule"
RULE_KEY = "learner"


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule of a training parameter.

    ``values`` are pairs (end, value) in growing order: the value holds up to that many units (samples, or sweeps if
    ``epoch_size`` is 0); a constant has the only pair (0, value).
    """

    values: tuple[tuple[int, float], ...]
    epoch_size: int = 0
    minibatch_size: int = 0
    """Minibatch size that the values are meant for; 0: the true one, whatever it is."""


@dataclass(frozen=True, slots=True)
class LearnerRecord:
    """The state of one learner. ``smoothed`` has one array for each parameter, in the learner's order."""

    rate: ScheduleRecord
    smoothed: tuple[NDArray[Any], ...] = field(compare=False)
    samples: int = 0
    minibatches: int = 0
    sweeps: int = 0
    noise_seed: int = 0
    smoothed_count: float | None = None
    """Number of updates, or their weight, for learners that count them."""
    master_updated: bool = True
    rule: str = ""
    """Which learner it is, as files of this package say; CNTK's do not."""


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A checkpoint: learners in the trainer's order, and what else was to be kept."""

    learners: tuple[LearnerRecord, ...]
    external: Dictionary = field(default_factory=dict)
    distributed: Dictionary = field(default_factory=dict)


def read_checkpoint(path: str | os.PathLike[str]) -> CheckpointRecord:
    """The checkpoint in a file.

    Raises:
        FormatError: if the file is damaged or no checkpoint; says where.
        OSError: if it cannot be opened.
    """
    return from_dictionary(files.read(path), str(os.fspath(path)))


def write_checkpoint(path: str | os.PathLike[str], checkpoint: CheckpointRecord) -> None:
    """Write a checkpoint to a file, whole or not at all.

    Raises:
        FormatError: if the external state holds what files cannot hold, or the file cannot be written.
    """
    files.write(path, to_dictionary(checkpoint))


def from_dictionary(dictionary: Dictionary, source: str = "") -> CheckpointRecord:
    """The checkpoint that a file's entries describe.

    Raises:
        FormatError: if they are not those of a checkpoint; names the entry.
    """
    top = Entries(dictionary, source, "")
    if "Learners" not in dictionary:
        top.fail("Learners", "this is no trainer checkpoint: the entry 'Learners' is missing")
    version = top.get("Version", int)
    if version > CHECKPOINT_VERSION:
        top.fail("Version", f"version {version}; the newest there is (CNTK 2.7) is {CHECKPOINT_VERSION}")
    return CheckpointRecord(
        learners=tuple(_learner(e) for e in top.entries("Learners")),
        external=top.get("ExternalState", dict, {}),
        distributed=top.get("DistributedState", dict, {}),
    )


def _learner(entries: Entries) -> LearnerRecord:
    kind = entries.get("type", str)
    if kind != "Learner":
        entries.fail("type", f"this is a {kind!r}, not a 'Learner'")
    entries.version(LEARNER_VERSION)
    arrays = entries.get("smoothed_gradients", list)
    for index, array in enumerate(arrays):
        if not isinstance(array, np.ndarray):
            entries.fail(f"smoothed_gradients[{index}]", f"a {type(array).__name__}, not an array")
    count = entries.dictionary.get("smoothed_count")
    if count is not None and not isinstance(count, float):
        entries.fail("smoothed_count", f"a {type(count).__name__}, not a float")
    rate = Entries(entries.get(_SCHEDULE_KEY, dict), entries.source, f"{entries.path}.{_SCHEDULE_KEY}")
    return LearnerRecord(
        rate=_schedule(rate),
        smoothed=tuple(arrays),
        samples=int(entries.get("sample_count", int)),
        minibatches=int(entries.get("minibatchCount", int)),
        sweeps=int(entries.get("sweepCount", int, 0)),
        noise_seed=int(entries.get("noise_injection_seed", int, 0)),
        smoothed_count=count,
        master_updated=entries.get("master_parameter_updated", bool, True),
        rule=entries.get(RULE_KEY, str, ""),
    )


def _schedule(entries: Entries) -> ScheduleRecord:
    entries.version(SCHEDULE_VERSION)
    values = []
    for key, value in entries.get("schedule", dict).items():
        if not (key.isascii() and key.isdigit() and len(key) <= 20) or not isinstance(value, float):
            entries.fail(f"schedule.{key}", f"{key!r}: {value!r} is not a number of units and a value")
        values.append((int(key), float(value)))
    if not values:
        entries.fail("schedule", "a schedule without values")
    return ScheduleRecord(
        tuple(sorted(values)), int(entries.get("epoch_size", int)), int(entries.get("ref_mb_size", int, 0))
    )


def pack_states(states: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The states of one parameter as the one array that files hold: matrices (rest x last dimension) under each other.

    Args:
        states: arrays of the parameter's shape, in the learner's order (adam: first the second moment, then the first).

    Example:
        >>> pack_states([np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])]).tolist()
        [[1, 2], [3, 4], [5, 6], [7, 8]]
    """
    return np.concatenate([state.reshape(_matrix(state.shape)) for state in states])


def unpack_states(packed: NDArray[Any], shape: tuple[int, ...], count: int) -> list[NDArray[Any]]:
    """The states of one parameter out of the one array that files hold.

    Args:
        packed: the array.
        shape: the parameter's.
        count: number of states.

    Raises:
        FormatError: if the array is not of the size that belongs to them.

    Example:
        >>> [s.tolist() for s in unpack_states(np.arange(6.0).reshape(2, 3), (3,), 2)]
        [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    size = math.prod(shape)
    if packed.size != count * size:
        raise FormatError(
            f"a learner's state of shape {packed.shape} does not hold {count} arrays of shape {shape}",
            "trainer checkpoint",
            "restore with the model and the learners that the checkpoint was saved with",
        )
    return [part.reshape(shape) for part in packed.reshape(count, size)]


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    return (-1, shape[-1]) if shape else (1, 1)


def to_dictionary(checkpoint: CheckpointRecord) -> Dictionary:
    """The entries of a checkpoint's file.

    Example:
        >>> rate = ScheduleRecord(((0, 0.1),))
        >>> record = CheckpointRecord((LearnerRecord(rate, ()),), {"epoch": 3})
        >>> from_dictionary(to_dictionary(record)) == record
        True
    """
    return {
        "Version": SizeT(CHECKPOINT_VERSION),
        "Learners": [_learner_entries(r) for r in checkpoint.learners],
        "ExternalState": plain(checkpoint.external),
        "DistributedState": plain(checkpoint.distributed),
    }


def plain(state: Mapping[str, Any]) -> Dictionary:
    """A user's state as a dictionary that files can hold: keys must be texts, values what the table in
    ``dictionary`` says.

    Raises:
        FormatError: if a key is not a text.
    """
    for key in state:
        if not isinstance(key, str):
            raise FormatError(f"the key {key!r} of a state to be saved is not a text", fix="use texts as keys")
    return dict(state)


def _learner_entries(record: LearnerRecord) -> Dictionary:
    schedule: Dictionary = {str(end): float(value) for end, value in record.rate.values}
    smoothed: list[Value] = list(record.smoothed)
    result: Dictionary = {
        "version": SizeT(LEARNER_VERSION),
        "type": "Learner",
        "sample_count": SizeT(record.samples),
        "minibatchCount": SizeT(record.minibatches),
        "sweepCount": SizeT(record.sweeps),
        _SCHEDULE_KEY: {
            "version": SizeT(SCHEDULE_VERSION),
            "type": "TrainingParameterSchedule",
            "epoch_size": SizeT(record.rate.epoch_size),
            "ref_mb_size": SizeT(record.rate.minibatch_size),
            "schedule": schedule,
        },
        "noise_injection_seed": SizeT(record.noise_seed),
        "master_parameter_updated": record.master_updated,
        "smoothed_gradients": smoothed,
    }
    if record.smoothed_count is not None:
        result["smoothed_count"] = float(record.smoothed_count)
    if record.rule:
        result[RULE_KEY] = record.rule
    return result

"""Trainer checkpoints as trainers use them: learners' dictionaries and the user's own state, to files and back.

What the sockets ``write_checkpoint`` and ``read_checkpoint`` of the graph are filled with. Must not know trainers or
learners: their dictionaries have CNTK's keys. Source: checkpoints written by CNTK 2.7.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.formats.cntk.checkpoint import (
    RULE_KEY,
    SCHEDULE_VERSION,
    CheckpointRecord,
    LearnerRecord,
    ScheduleRecord,
)
from cntk_lab.formats.cntk.checkpoint import read_checkpoint as read_record
from cntk_lab.formats.cntk.checkpoint import write_checkpoint as write_record

_RATE = "learnig_rate_schedule"


def write_checkpoint(
    path: str | os.PathLike[str], learners: Sequence[Mapping[str, Any]], external: Mapping[str, Any]
) -> None:
    """Write the state of learners and the user's own state to a file, whole or not at all.

    Args:
        path: the file.
        learners: dictionaries as made by ``Learner.create_checkpoint``.
        external: plain values under names.

    Raises:
        FormatError: if a value is of a kind that files cannot hold, or the file cannot be written.
    """
    write_record(path, CheckpointRecord(tuple(_record(entries) for entries in learners), dict(external)))


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The state of learners and the user's own state in a file.

    Args:
        path: the file.

    Returns:
        Dictionaries for ``Learner.restore_from_checkpoint``, and the user's values.

    Raises:
        FormatError: if the file is damaged or no checkpoint.
    """
    found = read_record(path)
    return [_entries(record) for record in found.learners], dict(found.external)


def _record(entries: Mapping[str, Any]) -> LearnerRecord:
    rate = entries[_RATE]
    values = sorted((int(end), float(value)) for end, value in rate["schedule"].items())
    return LearnerRecord(
        rate=ScheduleRecord(tuple(values), int(rate["epoch_size"]), int(rate["ref_mb_size"])),
        smoothed=tuple(np.asarray(a) for a in entries["smoothed_gradients"]),
        samples=int(entries["sample_count"]),
        minibatches=int(entries["minibatchCount"]),
        sweeps=int(entries["sweepCount"]),
        noise_seed=int(entries["noise_injection_seed"]),
        smoothed_count=entries.get("smoothed_count"),
        master_updated=bool(entries.get("master_parameter_updated", True)),
        rule=str(entries.get(RULE_KEY, "")),
    )


def _entries(record: LearnerRecord) -> dict[str, Any]:
    entries: dict[str, Any] = {
        _RATE: {
            "epoch_size": record.rate.epoch_size,
            "ref_mb_size": record.rate.minibatch_size,
            "schedule": {str(end): value for end, value in record.rate.values},
            "type": "TrainingParameterSchedule",
            "version": SCHEDULE_VERSION,
        },
        "master_parameter_updated": record.master_updated,
        "minibatchCount": record.minibatches,
        "noise_injection_seed": record.noise_seed,
        "sample_count": record.samples,
        "smoothed_gradients": list(record.smoothed),
        "sweepCount": record.sweeps,
        "type": "Learner",
        "version": 3,
    }
    if record.smoothed_count is not None:
        entries["smoothed_count"] = record.smoothed_count
    if record.rule:
        entries[RULE_KEY] = record.rule
    return entries

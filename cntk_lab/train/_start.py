"""A run from what the user has: a trainer or a criterion with learners, and data in any form.

Knows runs and feeds; nothing of how they are shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from cntk_lab.errors import AttributeValueError, SignatureError
from cntk_lab.graph import walk
from cntk_lab.learners._learner import Learner
from cntk_lab.train._arrays import Arrays
from cntk_lab.train._control import Change
from cntk_lab.train._feed import Feed, feed_of
from cntk_lab.train._run import Run
from cntk_lab.train._step import criterion_of
from cntk_lab.train.trainer import Trainer

VALIDATION_SIZE: Final = 256
"""Samples in a minibatch of validation."""


def run_of(
    what: Any,
    data: Any,
    learner: Learner | Iterable[Learner] | None = None,
    *,
    model: Any = None,
    streams: Mapping[Any, Any] | None = None,
    validation: Any = None,
    minibatch_size: int = 32,
    max_epochs: int | None = None,
    max_samples: int | None = None,
    max_steps: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    name: str = "",
    file: str | os.PathLike[str] | None = None,
    changes: Sequence[Change] = (),
    doctor: bool = True,
    labels: str | None = None,
) -> Run:
    """A run that is not started yet; see ``lab.train`` for the arguments.

    Raises:
        SignatureError: if a criterion comes without learners, or a trainer with them.
        AttributeValueError: if the data do not belong to the criterion.
    """
    if isinstance(what, Trainer):
        if learner is not None:
            raise SignatureError("a trainer has its learners already", fix="leave out the learner, or give a criterion")
        trainer = what
    else:
        if learner is None:
            raise SignatureError(
                "a criterion needs a learner", fix="give sgd(loss.parameters, 0.1) or the like, or a Trainer"
            )
        trainer = Trainer(model, what, learner)
    criterion = criterion_of((trainer.loss_function, trainer.evaluation_function))
    arguments = [v for v in walk.flat_leaves(criterion.variables) if v.is_input]
    feed = feed_of(data, arguments, streams, shuffle, seed, labels)
    once: Feed | None = None
    if isinstance(validation, (int, float)):
        feed, once = _held_out(feed, float(validation))
    elif validation is not None:
        once = feed_of(validation, arguments, streams, shuffle=False, seed=0, labels=labels)
    checks = [] if once is None else list(_sweep(once))
    if max_epochs is None and max_samples is None and max_steps is None:
        max_epochs = 1
    return Run(
        trainer, feed, minibatch_size=minibatch_size, max_epochs=max_epochs, max_samples=max_samples,
        max_steps=max_steps, validation=checks, name=name, file=file, changes=changes, doctor=doctor,
    )  # fmt: skip


def _held_out(feed: Feed, part: float) -> tuple[Feed, Feed]:
    """A feed without a part of its samples, and that part."""
    if not isinstance(feed, Arrays):
        raise AttributeValueError(
            f"validation={part}: only of data in arrays can a part be held out", fix="give data for validation"
        )
    return feed.hold_out(part)


def _sweep(feed: Feed) -> Iterator[Any]:
    """The minibatches of one sweep."""
    while (fed := feed.next(VALIDATION_SIZE)) is not None:
        yield fed.arguments
        if fed.ends_sweep:
            return

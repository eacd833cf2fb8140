"""What a run writes down as it goes: steps, rates, changes, validation, load and findings, in memory and in its file.

Keeps count of samples and seconds, which are part of what is written. Knows histories and their file; no threads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from cntk_lab.learners._learner import Learner
from cntk_lab.train._control import Change, Kind
from cntk_lab.train._history import Finding, History, Load, Validation, cut_line, line_of
from cntk_lab.train._journal import Journal, memory_in_use


class Record:
    """The history of a run while it grows.

    Args:
        history: where it is kept.
        file: where it is written too, as JSON lines; None: nowhere.
    """

    def __init__(self, history: History, file: str | os.PathLike[str] | None) -> None:
        self.history, self._journal = history, Journal(file)
        self.samples = 0
        """Samples trained on."""
        self.seconds = 0.0
        """Time that took (s)."""
        self._last_load = (0, 0.0)
        self._rate = math.nan

    @property
    def step(self) -> int:
        """Minibatches done."""
        return self.history.step

    def one(self, samples: int, loss: float, metric: float, seconds: float) -> None:
        """A step was done.

        Args:
            samples: in its minibatch.
            loss: mean over them.
            metric: mean over them; 0 if there is none.
            seconds: that it took.
        """
        self.samples += samples
        self.seconds += seconds
        self.history.append(self.samples, loss, metric, self.seconds)
        self._journal.early(self.history)

    def changed(self, changes: Sequence[Change]) -> None:
        """Something was changed by hand."""
        self.history.changes += changes
        for change in changes:
            self._write(line_of(change))

    def rates(self, learner: Learner, *, anew: bool = True) -> None:
        """The rates, where they are new.

        Args:
            learner: whose they are.
            anew: whether to look at the momentum too although the learning rate is as it was.
        """
        rate = learner.learning_rate()
        if rate == self._rate and not anew:
            return
        self._rate = rate
        kinds: list[tuple[Kind, float | None]] = [("learning_rate", rate), ("momentum", learner.momentum())]
        for kind, value in kinds:
            last = next((c.value for c in reversed(self.history.rates) if c.kind == kind), None)
            if value is not None and value != last:
                change = Change(self.step, kind, value, 0)
                self.history.rates.append(change)
                self._write(line_of(change, "rate"))

    def validated(self, entry: Validation) -> None:
        """The model was validated."""
        self.history.validation.append(entry)
        self._write(line_of(entry))

    def found(self, findings: Sequence[Finding]) -> None:
        """The doctor found something, or an error ended the run."""
        for finding in findings:
            self.history.findings.append(finding)
            self._write(line_of(finding))

    def load(self, *, force: bool = False) -> None:
        """Speed and memory, once a second.

        Args:
            force: also of a shorter time, if nothing else was written.
        """
        samples, seconds = self._last_load
        passed = self.seconds - seconds
        if passed < 1.0 and not (force and passed > 0 and (not self.history.load or passed > 0.2)):
            return
        self._last_load = (self.samples, self.seconds)
        entry = Load(self.step, (self.samples - samples) / passed, memory_in_use())
        self.history.load.append(entry)
        self._write(line_of(entry))

    def at(self, step: int) -> tuple[int, float]:
        """Samples and seconds after a step."""
        return (int(self.history.samples[step - 1]), self.history.seconds[step - 1]) if step else (0, 0.0)

    def count_from(self, step: int) -> None:
        """Training goes on from a step that was done before."""
        self.samples, self.seconds = self._last_load = self.at(step)

    def cut(self, step: int) -> None:
        """Forget what came after a step."""
        self.history.cut(step)
        self._journal.cut(self.history, cut_line(step))
        self.flush()

    def flush(self) -> None:
        """Write what was done, so that others can read it."""
        self._journal.flush(self.history)

    def close(self) -> None:
        """Let go of the file."""
        self.flush()
        self._journal.close()

    def _write(self, line: str) -> None:
        self._journal.write(self.history, line)

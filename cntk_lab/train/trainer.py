"""Trainer: the user's handle on training.

Ties a model, a criterion and learners together; takes minibatches, tells progress writers, saves and restores. What
happens in a step is in ``_step``; files are written through the graph's sockets. Knows no loops over data.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cntk_lab._turn import TURN, new_lock
from cntk_lab.axis import Axis
from cntk_lab.engine.ask.training import Totals
from cntk_lab.errors import GraphError, TrainingError
from cntk_lab.graph import ports
from cntk_lab.graph.compose import combine
from cntk_lab.graph.function import Function, keys_of, outputs_of
from cntk_lab.graph.variable import Variable
from cntk_lab.learners._learner import Learner
from cntk_lab.ops import reduce_sum
from cntk_lab.train._checkpoint import save_pair, settle, state_of
from cntk_lab.train._course import ENTRY, course, course_of
from cntk_lab.train._evaluator import Writer, writers_of
from cntk_lab.train._step import Stepper, check_learners, criterion_of, ends_sweep, function_of, is_empty
from cntk_lab.train._whole import Whole

"""Name in the external state under which random streams are kept; CNTK passes it on as the user's."""

_SUMS = ("aggregateLoss", "aggregateEvalMetric")
"""Names of the sums of loss and metric over a minibatch in the model file of a checkpoint; CNTK asks for them."""


class Trainer:
    """Trains a model: each minibatch changes the parameters a little so that the loss falls.

    The loss is summed over all its elements and samples; learners get the gradient of this sum, and the number of
    samples.

    Args:
        model: the network; None if only the criterion counts.
        criterion: loss, or (loss, metric), or a function with these outputs. The metric is only reported.
        parameter_learners: one learner or several, for different parameters.
        progress_writers: who is told of progress; one, several or None.

    Raises:
        GraphError: if the criterion has more than two outputs, there is no learner, or learners and model do not belong
            together.

    Example:
        >>> import cntk_lab as C
        >>> from cntk_lab.learners import sgd
        >>> x, w = C.input_variable(1), C.parameter((1,), init=1.0)
        >>> loss = (x * w - 3) * (x * w - 3)
        >>> trainer = Trainer(None, loss, sgd([w], 0.25))
        >>> trainer.train_minibatch({x: [[1.0], [1.0]]})
        True
        >>> trainer.previous_minibatch_loss_average, w.value.tolist()
        (4.0, [2.0])

    Source: CNTK 2.7 ``train.Trainer``.
    """

    def __init__(
        self,
        model: Any,
        criterion: Any,
        parameter_learners: Learner | Iterable[Learner],
        progress_writers: Writer | Iterable[Writer] | None = None,
    ) -> None:
        self._model = model
        self._criterion = criterion_of(criterion)
        learners = (parameter_learners,) if isinstance(parameter_learners, Learner) else tuple(parameter_learners)
        roots = [*self._model_outputs(), *self._criterion.variables]
        uncovered = check_learners(learners, roots)
        if uncovered:
            names = ", ".join(str(p) for p in uncovered[:5])
            sys.stderr.write(f"[Note:] {len(uncovered)} parameters of the model are in no learner and stay: {names}\n")
        self._stepper = Stepper(self._criterion, learners)
        self._writers = writers_of(progress_writers)
        for learner in learners:
            learner.add_progress_writers(self._writers)
        self._telling = new_lock()
        """Held while writers are told, by one thread after the other."""
        self._in_files: Function | None = None

    # --- parts

    @staticmethod
    def _get_loss_metric(criterion: Any) -> tuple[Function, Function | None]:
        """Loss and metric as functions; programs that write their own training loops ask for it."""
        made = criterion_of(criterion)
        return function_of(made.loss), None if made.metric is None else function_of(made.metric)

    @property
    def model(self) -> Any:
        """The network."""
        return self._model

    @property
    def loss_function(self) -> Function:
        """What is minimised."""
        return function_of(self._criterion.loss)

    @property
    def evaluation_function(self) -> Function | None:
        """What is reported beside the loss; None if there is nothing."""
        return None if self._criterion.metric is None else function_of(self._criterion.metric)

    @property
    def parameter_learners(self) -> tuple[Learner, ...]:
        """The learners."""
        return self._stepper.learners

    @property
    def number(self) -> int:
        """What events of this trainer's steps call it."""
        return self._stepper.number

    def progress_writers(self) -> list[Writer]:
        """Who is told of progress."""
        return list(self._writers)

    # --- training and testing

    def train_minibatch(
        self, arguments: Any, outputs: Any = None, device: Any = None, is_sweep_end: bool | None = None
    ) -> Any:
        """Train on one minibatch.

        Args:
            arguments: data, as for ``Function.eval``: {variable or name: data}; an empty dictionary does nothing.
            outputs: variables or functions whose values are wanted too.
            device: not used: training runs where the parameters are.
            is_sweep_end: whether the minibatch ends a sweep over the data; None asks the reader's data.

        Returns:
            Whether anything was updated (False for no data, or learning rates of 0); with ``outputs`` a pair of this
            and {what was asked for: value}.

        Raises:
            DataError: if the data do not fit the criterion.

        Source: CNTK 2.7 ``Trainer.train_minibatch``.
        """
        del device
        outputs = list(outputs) if hasattr(outputs, "__next__") else outputs
        wanted: Sequence[Variable] = outputs_of(outputs) if outputs else ()
        if is_empty(arguments):
            counts = self._stepper.counts
            counts.latest = (counts.latest[0], None)
            return (False, {}) if wanted else False
        sweep_end = ends_sweep(arguments) if is_sweep_end is None else bool(is_sweep_end)
        if not wanted and not sweep_end and self._stepper.steady(arguments) is not None:
            return True
        with self._telling, Whole() as whole:
            counts, told = self._stepper.counts, False
            number = counts.latest[0]
            try:
                done = self._stepper.train(arguments, wanted, sweep_end, whole)
                if self._writers:
                    whole.begin()
                    told = True
                    self._tell(done.totals)
            except BaseException:
                after, totals = counts.latest
                if after != number and totals is not None and not told:  # it was done before an interrupt came
                    whole.begin()
                    self._tell(totals)
                raise
        if not wanted:
            return done.updated
        values = done.totals.outputs
        return done.updated, {key: values[v] for key, v in zip(keys_of(outputs), wanted, strict=True)}

    def test_minibatch(self, arguments: Any, device: Any = None) -> float:
        """The average of the metric over one minibatch.

        Args:
            arguments: data, as for ``Function.eval``.
            device: not used: testing runs where the parameters are.

        Returns:
            Sum of the metric divided by the number of samples.

        Raises:
            GraphError: if the criterion has no metric.
            DataError: if the data do not fit the metric.

        Source: CNTK 2.7 ``Trainer.test_minibatch``.
        """
        del device
        totals = self.test_totals(arguments)
        return totals.loss / totals.samples if totals.samples else 0.0

    def test_totals(self, arguments: Any) -> Totals:
        """As :meth:`test_minibatch`, with the sum of the metric (as ``loss``) and the number of samples.

        Args:
            arguments: data, as for ``Function.eval``.
        """
        totals = self._stepper.test(arguments)
        with self._telling:
            for writer in self._writers:
                writer.update_test(totals.samples, totals.loss)
        return totals

    def summarize_training_progress(self) -> None:
        """Tell the writers that an epoch of training ends."""
        for writer in self._writers:
            writer.write_training_summary()

    def summarize_test_progress(self) -> None:
        """Tell the writers that a test ends."""
        for writer in self._writers:
            writer.write_test_summary()

    def print_node_timing(self) -> None:
        """Print how long each function took since ``debugging.set_node_timing(True)``."""
        ports.use("print_node_timing")()

    # --- numbers

    @property
    def previous_minibatch_loss_average(self) -> float:
        """Average loss of the last minibatch, as it was before its update.

        Raises:
            TrainingError: if there was no minibatch, or it was empty.
        """
        totals = self._previous()
        return totals.loss / totals.samples

    @property
    def previous_minibatch_evaluation_average(self) -> float:
        """Average metric of the last minibatch, as it was before its update.

        Raises:
            TrainingError: if there was no minibatch, or it was empty.
            GraphError: if the criterion has no metric.
        """
        if self._criterion.metric is None:
            raise GraphError("the criterion has no metric to average", fix="give the criterion as (loss, metric)")
        totals = self._previous()
        return totals.metric / totals.samples

    @property
    def previous_minibatch_sample_count(self) -> int:
        """Samples in the last minibatch; 0 if there was none."""
        last = self._stepper.counts.latest[1]
        return 0 if last is None else last.samples

    @property
    def total_number_of_samples_seen(self) -> int:
        """Samples in all minibatches that led to an update."""
        return self.parameter_learners[0].total_number_of_samples_seen()

    def total_number_of_units_seen(self, unit: Any) -> int:
        """Samples, minibatches or sweeps that led to an update.

        Args:
            unit: ``DataUnit`` or its number: 0 sweeps, 1 samples, 2 minibatches.

        Returns:
            Their number.

        Raises:
            TrainingError: if there is no such unit.

        Source: CNTK 2.7 ``cntk_py.Trainer.total_number_of_units_seen``.
        """
        learner = self.parameter_learners[0]
        counts = {
            0: learner.total_number_of_sweeps_seen,
            1: learner.total_number_of_samples_seen,
            2: learner.total_number_of_minibatches_seen,
        }
        number = getattr(unit, "value", unit)
        if number not in counts:
            raise TrainingError(f"there is no data unit {unit!r}", fix="use DataUnit.sample, minibatch or sweep")
        return counts[number]()

    # --- checkpoints

    def save_checkpoint(
        self, filename: str | os.PathLike[str], external_state: Mapping[str, Any] | None = None
    ) -> None:
        """Write the model to ``filename`` and the state of training to ``filename.ckp``.

        A crash at any moment leaves the older pair of files or the new one.

        Args:
            filename: where; missing folders are made.
            external_state: plain values of the user's own, kept with the state.

        Raises:
            FormatError: if something cannot be written.

        Source: CNTK 2.7 ``Trainer.save_checkpoint``.
        """
        with TURN:  # values and counts of one moment, whoever trains beside
            learners = [learner.create_checkpoint() for learner in self.parameter_learners]
            external = dict(external_state or {})
            kept = course(self._criterion.variables)
            if kept:
                external[ENTRY] = kept
            save_pair(
                Path(filename),
                lambda file: ports.use("save")(self._file_function(), str(file), None, False),
                lambda file: ports.use("write_checkpoint")(str(file), learners, external),
            )

    def restore_from_checkpoint(self, filename: str | os.PathLike[str]) -> dict[str, Any]:
        """Put the parameters' values and the state of training back to what a checkpoint holds.

        Args:
            filename: as given to :meth:`save_checkpoint`.

        Returns:
            The external state.

        Raises:
            FormatError: if a file is damaged.
            TrainingError: if a file is missing, or the checkpoint belongs to other learners.

        Source: CNTK 2.7 ``Trainer.restore_from_checkpoint``.
        """
        path = Path(filename)
        state = state_of(path)
        settle(path)
        for needed in (path, state):
            if not needed.is_file():
                raise TrainingError(f"checkpoint: there is no file {needed}", fix="give the name it was saved with")
        learners, external = ports.use("read_checkpoint")(str(state))
        if len(learners) != len(self.parameter_learners):
            raise TrainingError(
                f"checkpoint: it holds {len(learners)} learners, the trainer has {len(self.parameter_learners)}",
                fix="restore with the same learners as at saving",
            )
        with TURN, Whole() as whole:
            whole.begin()
            return self._restore(path, learners, dict(external))

    def _restore(self, path: Path, learners: Sequence[Mapping[str, Any]], result: dict[str, Any]) -> dict[str, Any]:
        """Put back what was read: all of it, or nothing."""
        roots = self._criterion.variables
        kept = course_of(result.pop(ENTRY, {}), roots, self.parameter_learners[0].parameters[0].storage.device)
        before = [learner.create_checkpoint() for learner in self.parameter_learners]
        try:
            for learner, entries in zip(self.parameter_learners, learners, strict=True):
                learner.restore_from_checkpoint(entries)
            ports.use("restore")(self._saved_function(), str(path))
        except Exception:
            for learner, entries in zip(self.parameter_learners, before, strict=True):
                learner.restore_from_checkpoint(entries)
            raise
        kept.take(roots)
        return result

    def samples_in_checkpoint(self, filename: str | os.PathLike[str]) -> int:
        """How many samples had been seen when a checkpoint was written.

        Args:
            filename: as given to :meth:`save_checkpoint`.

        Raises:
            FormatError: if the file is damaged.
        """
        learners, _ = ports.use("read_checkpoint")(str(state_of(Path(filename))))
        return int(learners[0]["sample_count"]) if learners else 0

    # --- inside

    def _tell(self, totals: Totals) -> None:
        for writer in self._writers:
            writer.update_training(totals.samples, totals.loss, totals.metric)

    def _previous(self) -> Totals:
        last = self._stepper.counts.latest[1]
        if last is None or not last.samples:
            raise TrainingError(
                "there was no minibatch to average over, or it was empty", fix="call train_minibatch with data first"
            )
        return last

    def _model_outputs(self) -> list[Variable]:
        return [] if self._model is None else list(outputs_of(self._model))

    def _file_function(self) -> Function:
        """What a checkpoint's model file holds: model, loss and metric, and behind these two their sums (as CNTK)."""
        if self._in_files is None:
            found = self._model_outputs()
            for name, value in zip(_SUMS, self._criterion.variables, strict=False):
                found.append(value)
                if value.type.axes:
                    found += outputs_of(reduce_sum(value, axis=Axis.all_axes(), name=name))
            self._in_files = combine(found)
        return self._in_files

    def _saved_function(self) -> Function:
        """Model, loss and metric as one function, for what is read from files."""
        seen: dict[int, Variable] = {id(v): v for v in (*self._model_outputs(), *self._criterion.variables)}
        return combine(list(seen.values()))

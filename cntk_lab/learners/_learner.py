"""Learner: parameters, their update rule, schedules and state; how often and how strongly parameters are updated.

A learner gives the engine its updates as formulas (``updates``), and for each minibatch the numbers in them
(``scalar_values``), and is told when a minibatch is done (``advance``). ``update`` does the same at once for gradients
in the user's hands. Knows schedules and rules, neither plans nor trainers. The rules of scaling are CNTK 2.7's,
observed for every combination of arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from cntk_lab import _changes
from cntk_lab._turn import TURN
from cntk_lab.device import use_default_device
from cntk_lab.errors import DataError, GraphError, ShapeError, SignatureError, TrainingError
from cntk_lab.formula.expr import Expr, absolute, input_, maximum, minimum, sign, where
from cntk_lab.formula.print_numpy import numpy_function
from cntk_lab.graph.variable import Parameter
from cntk_lab.learners._declare import COMMON, Formulas, Moment, Rule, Scalar, TouchedRows, Update, Whole, scalars_of
from cntk_lab.learners._schedules import IGNORE, SchedulingError, TrainingParameterSchedule
from cntk_lab.learners._smoothed import check_writer, stacked, unstacked, written_by
from cntk_lab.tensor.arrays import NDArrayView, Storage, array_module, to_device
from cntk_lab.tensor.mersenne import MersenneTwister64
from cntk_lab.tensor.randomness import next_seed
from cntk_lab.tensor.shape import is_known


class RateWriter(Protocol):
    """What is told when a learning rate changes (a progress writer)."""

    def write(self, key: str, value: float) -> None:
        """Told a name and a number."""


@dataclass(frozen=True, slots=True)
class Additions:
    """What is done to the gradient before a rule and to the parameter after it."""

    l1: float = 0.0
    l2: float = 0.0
    noise: TrainingParameterSchedule | None = None
    clip: float = math.inf
    truncate: bool = True


@dataclass(slots=True)
class _State:
    """One parameter's update and the arrays kept beside it."""

    update: Update
    noise: Storage | None = None
    arrays: dict[str, Storage] = field(default_factory=dict)


Seen = tuple[int, int, int, int, float]
"""Samples, minibatches and sweeps that led to an update; updates and smoothed samples since the state began."""


class Learner:
    """Updates parameters from gradients. Made by :func:`sgd`, :func:`adam` and the other functions of this package.

    Args:
        parameters: the parameters to update; no duplicates.
        rule: how.
        learning_rate: rates, with the number of samples they are meant for.
        momentum: momentum, for rules that use it.
        variance_momentum: momentum of squared gradients, for rules that use it.
        unit_gain: whether the gradient is scaled by 1 - momentum.
        minibatch_size: number of samples that numbers without their own minibatch size are meant for; 0 (IGNORE) also
            makes the rule see mean gradients; None if not given.
        additions: clipping, regularization, noise.
        options: options of the rule.

    Raises:
        GraphError: if there are no parameters, or one twice.
        ShapeError: if a parameter's shape is not known yet.
        SignatureError: if something else than a parameter is given.

    Source: CNTK 2.7 ``learners.Learner``.
    """

    ignored_minibatch_size = IGNORE
    has_formulas = True
    """Whether ``updates`` describes everything; else it only keeps the gradients, which ``take_kept`` hands over."""

    def __init__(
        self,
        parameters: Iterable[Parameter],
        rule: Rule,
        learning_rate: TrainingParameterSchedule,
        *,
        momentum: TrainingParameterSchedule | None = None,
        variance_momentum: TrainingParameterSchedule | None = None,
        unit_gain: bool = True,
        minibatch_size: int | None = None,
        additions: Additions | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._parameters = _checked_parameters(parameters)
        self.rule = rule
        self._learning_rate_schedule, self._momentum, self._variance_momentum = (
            learning_rate,
            momentum,
            variance_momentum,
        )
        self._unit_gain = unit_gain
        self._minibatch_size = minibatch_size
        self._additions = additions or Additions()
        self._options = dict(options or {})
        self._noise_seed = next_seed()
        self.seen: Seen = (0, 0, 0, 0, 0.0)
        """What was counted: another object after each minibatch, so that an interrupt finds it counted whole or not."""
        self._rate_begins = (0, 0)
        self._writers: list[RateWriter] = []
        self._told: dict[str, float] = {}
        self._states = [self._new_state(p) for p in self._parameters] if self.has_formulas else []
        self._idle: tuple[Update, ...] = ()
        self._updates: tuple[Update, ...] = ()
        self._updates_of: list[_State] | None = None
        self._steady: tuple[tuple[object, ...], dict[str, float]] | None = None
        self._scalars = self._all_scalars()
        self._wanted = self._wanted_scalars()

    # --- what users ask

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters this learner updates."""
        return self._parameters

    @property
    def minibatch_size(self) -> int:
        """Number of samples that rates and momenta without their own are meant for; 0 for a minibatch of any size."""
        return self._minibatch_size or IGNORE

    @minibatch_size.setter
    def minibatch_size(self, value: int) -> None:
        self._minibatch_size = int(value)
        self._states = [self._new_state(p, s.arrays) for p, s in zip(self._parameters, self._states, strict=True)]
        self._wanted = self._wanted_scalars()

    def is_minibatch_size_explicitly_specified(self) -> bool:
        """Whether the minibatch size was given."""
        return self._minibatch_size is not None

    def is_compatible_mode(self) -> bool:
        """Whether rules see mean gradients, as in other toolkits: the minibatch size is explicitly IGNORE."""
        return self._minibatch_size == IGNORE

    def learning_rate(self) -> float:
        """The rate of the next update, as the schedule says it (for the samples it is meant for)."""
        samples, sweeps = self._rate_begins
        return self._learning_rate_schedule.at(self.seen[0] - samples, self.seen[2] - sweeps)

    def reset_learning_rate(self, learning_rate: TrainingParameterSchedule) -> None:
        """Follow another schedule from now on; its first value is valid first, however many samples were seen.

        Args:
            learning_rate: a schedule.

        Raises:
            SignatureError: if it is not a schedule.

        Source: CNTK 2.7 ``Learner.reset_learning_rate``.
        """
        if not isinstance(learning_rate, TrainingParameterSchedule):
            raise SchedulingError(learning_rate)
        with TURN:
            self._learning_rate_schedule = learning_rate.copy()
            self._rate_begins = (self.seen[0], self.seen[2])

    def change_learning_rate(self, value: float) -> None:
        """Follow one learning rate from now on, meant for as many samples as the schedule before.

        Args:
            value: the rate.
        """
        schedule = self._learning_rate_schedule
        size = schedule.minibatch_size if schedule.is_minibatch_size_explicitly_specified else None
        self.reset_learning_rate(TrainingParameterSchedule(value, size))

    def momentum(self) -> float | None:
        """The momentum of the next update, as the schedule says it; None if the rule has none."""
        return None if self._momentum is None else self._momentum.at(self.seen[0], self.seen[2])

    def momentum_schedule(self) -> TrainingParameterSchedule | None:
        """The schedule of the momentum; None if the rule has none."""
        return self._momentum

    def change_momentum(self, value: float | TrainingParameterSchedule) -> None:
        """Follow one momentum, or another schedule of it, from now on.

        Args:
            value: the momentum, meant for as many samples as the schedule before; or a schedule.

        Raises:
            TrainingError: if the rule has no momentum.
        """
        before = self._momentum
        if before is None:
            raise TrainingError(f"learner {self.rule.name} has no momentum", fix="use momentum_sgd, nesterov or adam")
        if not isinstance(value, TrainingParameterSchedule):
            size = before.minibatch_size if before.is_minibatch_size_explicitly_specified else None
            value = TrainingParameterSchedule(value, size)
        self._momentum = value

    def total_number_of_samples_seen(self) -> int:
        """Samples in all minibatches that led to an update."""
        return self.seen[0]

    def total_number_of_minibatches_seen(self) -> int:
        """Minibatches that led to an update."""
        return self.seen[1]

    def total_number_of_sweeps_seen(self) -> int:
        """Sweeps over the data that ended with an update."""
        return self.seen[2]

    def current_version(self) -> int:
        """Version of the checkpoint format."""
        return _VERSION

    def add_progress_writers(self, writers: Iterable[RateWriter]) -> None:
        """Tell these writers the learning rate whenever it changes."""
        self._writers.extend(writers)
        _changes.note()  # repeated steps ask whether somebody listens

    def set_need_to_update_master_parameter(self) -> None:
        """Nothing: there is one copy of each parameter, so it never has to be brought up to date."""

    def __repr__(self) -> str:
        return f"{self.rule.name}({len(self._parameters)} parameters, rate {self.learning_rate():g})"

    # --- what the engine and the trainer ask

    def updates(self) -> tuple[Update, ...]:
        """The update of each parameter as formulas, for the end of a training plan."""
        if self._updates_of is not self._states:
            self._updates, self._updates_of = tuple(s.update for s in self._states), self._states
        return self._updates

    def idle_updates(self) -> tuple[Update, ...]:
        """Updates that leave everything as it is, for minibatches with the learning rate 0."""
        if not self._idle:
            self._idle = tuple(Update(p, (("p", input_("p")),), {}, ()) for p in self._parameters)
        return self._idle

    def scalar_values(self, sample_count: int) -> dict[str, float]:
        """The numbers for the scalars of all updates, for one minibatch; draws the noise if there is any.

        Call it once for each minibatch, before the formulas run.

        Args:
            sample_count: samples in the minibatch, at least 1.

        Returns:
            A number for each name in ``Update.scalars`` of this learner's updates.

        Raises:
            DataError: if the minibatch is empty.
        """
        if sample_count < 1:
            raise DataError("an update needs a minibatch with at least one sample", fix="skip empty minibatches")
        key = self._steady_key(sample_count)
        if self._steady is not None and self._steady[0] == key:
            return self._steady[1]
        moment = self._moment(sample_count)
        self._draw_noise()
        values = {name: self._scalars[name](moment) for name in self._wanted}
        schedules = (self._learning_rate_schedule, self._momentum, self._variance_momentum)
        still = all(s is None or s.is_constant for s in schedules) and self._additions.noise is None
        self._steady = (key, values) if still and not self.rule.counts else None
        return values

    @property
    def has_writers(self) -> bool:
        """Whether somebody is told of the rates."""
        return bool(self._writers)

    def steady_values(self, sample_count: int) -> dict[str, float] | None:
        """As :meth:`scalar_values`, if these numbers and the formulas are those of the minibatch before; else None."""
        steady = self._steady
        if steady is None or self._updates_of is not self._states or steady[0] != self._steady_key(sample_count):
            return None
        return steady[1]

    def _steady_key(self, sample_count: int) -> tuple[object, ...]:
        rate, momentum, variance = self._learning_rate_schedule, self._momentum, self._variance_momentum
        sizes = rate.minibatch_size, momentum and momentum.minibatch_size, variance and variance.minibatch_size
        return (sample_count, rate, momentum, variance, sizes, self._minibatch_size)

    def advance(self, sample_count: int, sweep_end: bool = False) -> None:
        """Count a minibatch whose update was done.

        Args:
            sample_count: its samples.
            sweep_end: whether it ended a sweep over the data.
        """
        samples, minibatches, sweeps, steps, smoothed = self.seen
        if self.rule.counts == "samples":
            smoothed = self._moment(sample_count).smoothed_count
        self.seen = (samples + sample_count, minibatches + 1, sweeps + int(sweep_end), steps + 1, smoothed)

    def tell_rates(self) -> None:
        """Tell the progress writers the learning rate (and momentum) if they changed."""
        if not self._writers:
            return
        told = [("Learning rate", self._learning_rate_schedule, self.learning_rate())]
        if self.rule.tells_momentum and self._momentum is not None:
            told.append(("Momentum", self._momentum, self._momentum.at(self.seen[0], self.seen[2])))
        for name, schedule, value in told:
            if self._told.get(name) == value:
                continue
            self._told[name] = value
            unit = f"{schedule.minibatch_size} samples" if schedule.minibatch_size else "minibatch"
            for writer in self._writers:
                writer.write(f"{name} per {unit}", value)

    # --- direct update

    def update(
        self, gradient_values: Mapping[Parameter, Any], training_sample_count: int, is_sweep_end: bool = False
    ) -> bool:
        """Update the parameters from given gradients.

        Args:
            gradient_values: for each parameter the sum of its gradients over the minibatch (array of its shape).
            training_sample_count: samples in the minibatch, at least 1.
            is_sweep_end: whether the minibatch ended a sweep over the data.

        Returns:
            Whether an update was done: False if the learning rate is 0.

        Raises:
            DataError: if a gradient is missing or the minibatch is empty.
            ShapeError: if a gradient's shape is not its parameter's.

        Example:
            >>> from cntk_lab.graph.variable import Parameter
            >>> from cntk_lab.learners import sgd
            >>> w = Parameter((2,), init=1.0)
            >>> sgd([w], 0.5, minibatch_size=1).update({w: np.ones(2, np.float32)}, 1)
            True
            >>> w.value
            array([0.5, 0.5], dtype=float32)

        Source: CNTK 2.7 ``Learner.update``.
        """
        gradients = [_gradient(p, gradient_values) for p in self._parameters]
        self.tell_rates()
        with TURN:
            if self.learning_rate() == 0:
                return False
            values = self.scalar_values(training_sample_count)
            for s, gradient in zip(self._states, gradients, strict=True):
                _run(s.update, gradient, values)
            self.advance(training_sample_count, is_sweep_end)
        return True

    # --- checkpoints

    def reset_smoothed_gradients(self) -> None:
        """Forget the state of the rule (momentum and the like); counts and schedules stay."""
        with TURN:
            for s in self._states:
                for storage in s.arrays.values():
                    storage.write(0)
            self.seen = (*self.seen[:3], 0, 0.0)

    def create_checkpoint(self) -> dict[str, Any]:
        """Everything needed to go on later, as a plain dictionary with CNTK's keys.

        Returns:
            Dictionary of numbers, texts, dictionaries and arrays.

        Source: CNTK 2.7 checkpoint files.
        """
        with TURN:
            return self._checkpoint()

    def _checkpoint(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "learner": self.rule.name,
            "learnig_rate_schedule": self._learning_rate_schedule.to_dictionary(),
            "master_parameter_updated": True,
            "minibatchCount": self.seen[1],
            "noise_injection_seed": self._noise_seed,
            "sample_count": self.seen[0],
            "smoothed_gradients": [stacked(s.update.parameter, s.arrays, self.rule.state) for s in self._states],
            "sweepCount": self.seen[2],
            "type": "Learner",
            "version": _VERSION,
        }
        if self.rule.counts:
            made["smoothed_count"] = float(self.seen[3] if self.rule.counts == "steps" else self.seen[4])
        return made

    def restore_from_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; nothing changes if it does not fit.

        Args:
            checkpoint: dictionary as made by :meth:`create_checkpoint`.

        Raises:
            TrainingError: if an entry is missing, or belongs to other parameters or another learner.

        Source: CNTK 2.7 checkpoint files.
        """
        try:
            counts = [
                int(checkpoint[k]) for k in ("sample_count", "minibatchCount", "sweepCount", "noise_injection_seed")
            ]
            stacks = [np.asarray(a) for a in checkpoint["smoothed_gradients"]]
            smoothed = float(checkpoint["smoothed_count"]) if self.rule.counts else 0.0
            rate = TrainingParameterSchedule.from_dictionary(checkpoint["learnig_rate_schedule"])
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                f"checkpoint: the state of learner {self.rule.name} cannot be read: {error!r}{written_by(checkpoint)}",
                fix="use a checkpoint of the same learner that was written completely",
            ) from error
        check_writer(checkpoint, self.rule, [s.update.parameter for s in self._states], stacks)
        parts = [
            unstacked(s.update.parameter, s.arrays, self.rule, stack)
            for s, stack in zip(self._states, stacks, strict=True)
        ]
        samples, minibatches, sweeps, noise_seed = counts
        steps = int(smoothed) if self.rule.counts == "steps" else minibatches
        with TURN:
            for s, arrays in zip(self._states, parts, strict=True):
                for name, array in arrays.items():
                    s.arrays[name].write(array)
            self.seen = (samples, minibatches, sweeps, steps, smoothed if self.rule.counts == "samples" else 0.0)
            self._noise_seed = noise_seed
            self._learning_rate_schedule, self._rate_begins = rate, (0, 0)

    # --- inside

    def _moment(self, samples: int) -> Moment:
        position = (self.seen[0], self.seen[2])
        momentum = _per_minibatch(self._momentum, position, samples)
        variance = _per_minibatch(self._variance_momentum, position, samples)
        reference = self._learning_rate_schedule.minibatch_size
        rate = self.learning_rate() / (reference or samples)
        if self.is_compatible_mode():
            rate *= samples
        return Moment(
            rate=rate,
            momentum=momentum,
            variance_momentum=variance,
            gain=1 - momentum if self._unit_gain else 1.0,
            samples=samples,
            units=1 if self.is_compatible_mode() else samples,
            step=self.seen[3] + 1,
            smoothed_count=variance * self.seen[4] + (1 - variance) * samples,
        )

    def _all_scalars(self) -> dict[str, Scalar]:
        add = self._additions
        return {
            **COMMON,
            **self.rule.scalars,
            "one_over_samples": lambda m: 1.0 / m.samples,
            "clip_at": lambda m: add.clip * m.units,
            "weight_decay": lambda m: add.l2 * m.units,
            "shrink": lambda m: m.rate * add.l1 * m.units,
        }

    def _wanted_scalars(self) -> list[str]:
        return sorted({name for s in self._states for name in s.update.scalars})

    def _new_state(self, parameter: Parameter, arrays: dict[str, Storage] | None = None) -> _State:
        shape = tuple(parameter.shape)
        if arrays is None:
            arrays = {name: _zeros(parameter) for name in self.rule.state}
        noise = _zeros(parameter) if self._additions.noise is not None else None
        formulas = self._formulas(Whole(shape))
        # noise and weight decay change every row; so do rules whose averages decay without a gradient
        alone = noise is None and not self._additions.l1 and not self._additions.l2 and not self.rule.whole
        of_rows = tuple(self._formulas(TouchedRows()).items()) if alone and shape else None
        inputs = {**arrays, **({"noise": noise} if noise is not None else {})}
        scalars = scalars_of(formulas, {"p", "g", *inputs})
        update = Update(parameter, tuple(formulas.items()), inputs, scalars, of_rows)
        return _State(update, noise, arrays)

    def _formulas(self, whole: Whole) -> Formulas:
        """The rule with clipping and L2 before it, noise and L1 after it."""
        add = self._additions
        g: Expr = input_("g")
        if self.is_compatible_mode():
            g = g * input_("one_over_samples")
        if math.isfinite(add.clip):
            limit = input_("clip_at")
            if add.truncate:
                g = minimum(maximum(g, -limit), limit)
            else:
                norm = whole.norm(g)
                g = where(norm > limit, g * (limit / norm), g)
        if add.l2:
            g = g + input_("weight_decay") * input_("p")
        formulas = self.rule.build(whole, g, self._options)
        p = formulas["p"]
        if add.noise is not None:
            p = p + input_("noise")
        if add.l1:
            p = sign(p) * maximum(absolute(p) - input_("shrink"), 0.0)
        return {**formulas, "p": p}

    def _draw_noise(self) -> None:
        schedule = self._additions.noise
        if schedule is None:
            return
        deviation = schedule.at(self.seen[0], self.seen[2])
        for s in self._states:
            if s.noise is None:
                continue
            count = math.prod(s.update.parameter.shape)
            drawn = MersenneTwister64(self._noise_seed).normal(count, 0.0, deviation)
            s.noise.write(drawn.reshape(s.update.parameter.shape))
            self._noise_seed = (self._noise_seed + 1) % 2**64


_VERSION = 3


def _checked_parameters(parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    if isinstance(parameters, Parameter) or not isinstance(parameters, Iterable):
        raise SignatureError(
            f"a learner needs a list of parameters, not {parameters!r}", fix="give model.parameters or [w, b]"
        )
    checked = tuple(parameters)
    for p in checked:
        if not isinstance(p, Parameter):
            raise SignatureError(f"{p!r} is not a parameter", fix="give model.parameters or [w, b]")
        if not is_known(p.type.shape):
            raise ShapeError(
                f"{p} has dimensions that are not known yet, so a learner cannot update it",
                fix="apply the layer to an input first, so that the dimensions are inferred",
            )
    if not checked:
        raise GraphError("a learner's list of parameters must not be empty", fix="give model.parameters")
    if len({id(p) for p in checked}) < len(checked):
        raise GraphError("a learner's list of parameters must not contain duplicates", fix="list each parameter once")
    return checked


def _zeros(parameter: Parameter) -> Storage:
    device = parameter.device or use_default_device()
    return Storage(np.zeros(parameter.shape, parameter.type.dtype), device)


def _per_minibatch(schedule: TrainingParameterSchedule | None, position: tuple[int, int], samples: int) -> float:
    if schedule is None:
        return 0.0
    value = schedule.at(*position)
    return value if schedule.minibatch_size == IGNORE else float(value ** (samples / schedule.minibatch_size))


def _gradient(parameter: Parameter, values: Mapping[Parameter, Any]) -> Any:
    if parameter not in values:
        raise DataError(
            f"no gradient is given for {parameter}", fix="give a gradient for each parameter of the learner"
        )
    value = values[parameter]
    array = value.asarray() if isinstance(value, NDArrayView) else value
    array = np.asarray(array) if isinstance(array, (int, float, list, np.generic)) else array
    if _without_leading_ones(array.shape) != _without_leading_ones(parameter.shape):
        raise ShapeError(
            f"the gradient given for {parameter} has the shape {tuple(array.shape)}",
            fix="give the gradient summed over the minibatch, in the parameter's shape",
        )
    fitting = array.astype(parameter.type.dtype, copy=False).reshape(parameter.shape)
    return to_device(fitting, parameter.device or use_default_device())


def _without_leading_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """A gradient may carry the axes of length 1 that a minibatch of one sample has."""
    first = next((i for i, d in enumerate(shape) if d != 1), len(shape))
    return tuple(shape[first:])


def _run(update: Update, gradient: Any, values: Mapping[str, float]) -> None:
    """The formulas of one update, computed at once and written in place."""
    storage = update.parameter.storage
    target = storage.array
    xp = array_module(target)
    lead = (1, *update.parameter.shape)
    arrays = [target, gradient, *(s.array for s in update.state.values())]
    ones = (1,) * len(lead)
    numbers = [xp.full(ones, values[name], dtype=target.dtype) for name in update.scalars]
    numpy_function(update.kernel())(xp, *(a.reshape(lead) for a in arrays), *numbers)
    storage.version += 1

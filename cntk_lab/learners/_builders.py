"""CNTK's learners by name: sgd, momentum_sgd, nesterov, adagrad, adadelta, fsadagrad, adam, rmsprop.

Each function turns the user's arguments (numbers, lists or schedules) into schedules and makes a Learner with the rule
of that name. Knows no formulas. Names, arguments and defaults are CNTK 2.7's.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from cntk_lab.errors import AttributeValueError, SignatureError, TrainingError
from cntk_lab.graph.variable import Parameter
from cntk_lab.learners import _rules
from cntk_lab.learners._declare import Rule
from cntk_lab.learners._learner import Additions, Learner
from cntk_lab.learners._schedules import (
    IGNORE,
    Schedulable,
    TrainingParameterSchedule,
    momentum_schedule_per_sample,
)

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "default_unit_gain_value",
    "fsadagrad",
    "momentum_sgd",
    "nesterov",
    "rmsprop",
    "set_default_unit_gain_value",
    "sgd",
]

Parameters: TypeAlias = Iterable[Parameter]

_DEFAULT_VARIANCE_MOMENTUM: Final = math.exp(-1 / (2 * 3600 * 100))
"""Squared gradients are averaged over 2 * 3600 * 100 samples: two hours of speech at 100 frames a second."""

_unit_gain = True


def default_unit_gain_value() -> bool:
    """Whether momentum learners use unit gain when they are not told.

    Returns:
        True at first; see :func:`set_default_unit_gain_value`.

    Example:
        >>> default_unit_gain_value()
        True

    Source: CNTK 2.7 ``learners.default_unit_gain_value``.
    """
    return _unit_gain


def set_default_unit_gain_value(value: bool) -> None:
    """Set whether momentum learners use unit gain when they are not told.

    Args:
        value: with unit gain the gradient is scaled by 1 - momentum, so that the rate means the same for any momentum.

    Example:
        >>> set_default_unit_gain_value(False); default_unit_gain_value()
        False
        >>> set_default_unit_gain_value(True)

    Source: CNTK 2.7 ``learners.set_default_unit_gain_value``.
    """
    global _unit_gain
    _unit_gain = bool(value)


class _Common:
    """The arguments that all learners share, checked and turned into schedules."""

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self.name = name
        self.epoch_size = arguments["epoch_size"]
        self.minibatch_size: int | None = arguments["minibatch_size"]
        self.mean = bool(arguments["use_mean_gradient"])
        if self.mean and self.minibatch_size is None:
            self.minibatch_size = IGNORE
        self.parameters = arguments["parameters"]
        self.rate = self._learning_rate(arguments["lr"])
        clip = arguments["gradient_clipping_threshold_per_sample"]
        noise = arguments["gaussian_noise_injection_std_dev"]
        if math.isnan(clip) or clip < 0:
            raise AttributeValueError(f"{name}: gradient_clipping_threshold_per_sample is {clip}", fix="give 0 or more")
        self.additions = Additions(
            l1=float(arguments["l1_regularization_weight"]),
            l2=float(arguments["l2_regularization_weight"]),
            noise=None if noise == 0 else self._noise(noise),
            clip=float(clip),
            truncate=bool(arguments["gradient_clipping_with_truncation"]),
        )

    def schedule(self, value: object, what: str) -> TrainingParameterSchedule:
        """A schedule for this learner; numbers are meant for the learner's minibatch size."""
        if isinstance(value, (int, float, list, tuple)):
            return TrainingParameterSchedule(value, self.minibatch_size, self.epoch_size)
        if not isinstance(value, TrainingParameterSchedule):
            raise SignatureOrValueError(self.name, what, value)
        made = value.copy()
        if not made.is_minibatch_size_explicitly_specified and self.minibatch_size is not None:
            made.minibatch_size = self.minibatch_size
        return made

    def _noise(self, value: Schedulable) -> TrainingParameterSchedule:
        if isinstance(value, TrainingParameterSchedule):
            return value.copy()
        return TrainingParameterSchedule(value, IGNORE, self.epoch_size)

    def _learning_rate(self, value: Schedulable) -> TrainingParameterSchedule:
        made = self.schedule(value, "lr")
        if self.mean and isinstance(value, TrainingParameterSchedule) and made.minibatch_size == 1:
            made.minibatch_size = IGNORE  # a rate per sample of a sum is a rate per minibatch of a mean
        return made

    def make(
        self,
        rule: Rule,
        momentum: Schedulable | None = None,
        variance_momentum: Schedulable | None = None,
        unit_gain: bool = True,
        **options: object,
    ) -> Learner:
        """The learner."""
        return Learner(
            self.parameters,
            rule,
            self.rate,
            momentum=None if momentum is None else self.schedule(momentum, "momentum"),
            variance_momentum=None
            if variance_momentum is None
            else self.schedule(variance_momentum, "variance_momentum"),
            unit_gain=unit_gain,
            minibatch_size=self.minibatch_size,
            additions=self.additions,
            options=options,
        )


class SignatureOrValueError(SignatureError, ValueError):
    """A rate or momentum is neither number, list nor schedule (CNTK raised a ValueError)."""

    def __init__(self, name: str, what: str, value: object) -> None:
        super().__init__(
            f"{name}: {what} is a {type(value).__name__}, not a number, a list or a schedule",
            fix="give 0.1, [0.1, 0.01] or learning_parameter_schedule(...)",
        )


def _check(condition: bool, name: str, what: str, fix: str) -> None:
    if not condition:
        raise TrainingError(f"{name}: {what}", fix=fix)


def _shared(
    parameters: Parameters,
    lr: Schedulable,
    l1_regularization_weight: float = 0.0,
    l2_regularization_weight: float = 0.0,
    gaussian_noise_injection_std_dev: Schedulable = 0.0,
    gradient_clipping_threshold_per_sample: float = math.inf,
    gradient_clipping_with_truncation: bool = True,
    use_mean_gradient: bool | None = None,
    minibatch_size: int | None = None,
    epoch_size: int | None = None,
) -> None:
    """Say once what all learners share: names, order, defaults and the lines of their documentation.

    Args:
        parameters: the parameters to update, for example ``model.parameters``.
        lr: learning rate; number, list or schedule.
        l1_regularization_weight: pull towards 0 by this times the rate, per sample.
        l2_regularization_weight: share of the parameter added to its gradient, per sample.
        gaussian_noise_injection_std_dev: standard deviation of noise added to the parameter; number, list or schedule.
        gradient_clipping_threshold_per_sample: largest gradient per sample; infinity for none.
        gradient_clipping_with_truncation: clip each element; else scale the whole gradient of a parameter.
        use_mean_gradient: old name of ``minibatch_size=IGNORE``.
        minibatch_size: number of samples that plain numbers are meant for; IGNORE (0) uses mean gradients.
        epoch_size: samples in one unit of lists; None for a sweep over the data.
    """


def _builder(*, rate: Schedulable | None = None) -> Callable[[Callable[..., Learner]], Callable[..., Learner]]:
    """Make a learner's function from what is its own: CNTK's order of arguments, and the whole documentation.

    CNTK's order is parameters, rate, the learner's own arguments, what all share, those own ones that are given by
    name here, minibatch and epoch size.

    Args:
        rate: learning rate where None is given, which is then the default; without it one must be given.
    """

    def make(own: Callable[..., Learner]) -> Callable[..., Learner]:
        signature, documentation = _with_shared(own, rate)

        @functools.wraps(own)
        def build(*args: Any, **kwargs: Any) -> Learner:
            try:
                given = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise SignatureError(f"{own.__name__}: {error}", fix=f"it takes {signature}") from None
            given.apply_defaults()
            arguments = dict(given.arguments)
            if arguments["lr"] is None and rate is not None:
                arguments["lr"] = rate
            common = _Common(own.__name__, {name: arguments.pop(name) for name in _SHARED})
            return own(common, **arguments)

        build.__signature__ = signature  # type: ignore[attr-defined]
        build.__doc__ = documentation
        return build

    return make


_SHARED = inspect.signature(_shared).parameters


def _with_shared(own: Callable[..., Learner], rate: Schedulable | None) -> tuple[inspect.Signature, str]:
    """Signature and documentation of a learner's function, the shared arguments among its own."""
    _, *mine = inspect.signature(own).parameters.values()
    early = [p for p in mine if p.kind is p.POSITIONAL_OR_KEYWORD]
    late = [p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in mine if p.kind is p.KEYWORD_ONLY]
    shared = list(_SHARED.values())
    if rate is not None:
        shared[1] = shared[1].replace(default=None)
    signature = inspect.Signature([*shared[:2], *early, *shared[2:-2], *late, *shared[-2:]], return_annotation=Learner)
    lines = dict(re.findall(r"^ +(\w+): (.+)$", inspect.getdoc(_shared) or "", re.MULTILINE))
    head, _, rest = (inspect.getdoc(own) or "").partition("Args:\n    common: the arguments that all learners share.\n")
    told, _, rest = rest.partition("\n\n") if rest.startswith(" ") else ("", "", rest.lstrip("\n"))
    lines.update(re.findall(r"^ +(\w+): (.+)$", told, re.MULTILINE))
    described = "\n".join(f"    {name}: {lines[name]}" for name in signature.parameters)
    return signature, f"{head}Args:\n{described}\n\n{rest}"


@_builder()
def sgd(
    common: _Common,
) -> Learner:
    """Stochastic gradient descent: p -= rate g.

    The plainest learner, and often the best final one.

    Args:
        common: the arguments that all learners share.

    Returns:
        Learner.

    Raises:
        GraphError: if there are no parameters, or one twice.
        AttributeValueError: if a rate or momentum is no number, list or schedule.

    Example:
        >>> w = Parameter((2,), init=1.0)
        >>> sgd([w], 0.1).parameters[0] is w
        True

    Source: CNTK 2.7 ``learners.sgd``; Robbins, Monro (1951).
    """
    return common.make(_rules.sgd)


@_builder()
def momentum_sgd(
    common: _Common,
    momentum: Schedulable,
    unit_gain: bool | None = None,
) -> Learner:
    """Gradient descent with momentum: v = momentum v + rate gain g; p -= v.

    Smooths the direction over several minibatches; gain is 1 - momentum with unit gain, else 1.

    Args:
        common: the arguments that all learners share.
        momentum: share of the last step kept; number, list or schedule.
        unit_gain: whether gradients are scaled by 1 - momentum; None for the default value.

    Returns:
        Learner.

    Raises:
        GraphError: if there are no parameters, or one twice.
        AttributeValueError: if a rate or momentum is no number, list or schedule.

    Example:
        >>> w = Parameter((2,), init=1.0)
        >>> momentum_sgd([w], 0.1, 0.9).parameters[0] is w
        True

    Source: CNTK 2.7 ``learners.momentum_sgd``; Polyak (1964).
    """
    gain = default_unit_gain_value() if unit_gain is None else unit_gain
    return common.make(_rules.momentum_sgd, momentum, unit_gain=gain)


@_builder()
def nesterov(
    common: _Common,
    momentum: Schedulable,
    unit_gain: bool | None = None,
) -> Learner:
    """Gradient descent with Nesterov's momentum: the step looks one momentum ahead.

    v = momentum v + rate gain g; p -= momentum v + rate gain g.

    Args:
        common: the arguments that all learners share.
        momentum: share of the last step kept; number, list or schedule.
        unit_gain: whether gradients are scaled by 1 - momentum; None for the default value.

    Returns:
        Learner.

    Raises:
        GraphError: if there are no parameters, or one twice.
        AttributeValueError: if a rate or momentum is no number, list or schedule.

    Example:
        >>> w = Parameter((2,), init=1.0)
        >>> nesterov([w], 0.1, 0.9).parameters[0] is w
        True

    Source: CNTK 2.7 ``learners.nesterov``; Nesterov (1983); Sutskever et al. (2013).
    """
    gain = default_unit_gain_value() if unit_gain is None else unit_gain
    return common.make(_rules.nesterov, momentum, unit_gain=gain)


@_builder()
def adagrad(
    common: _Common,
    need_ave_multiplier: bool = True,
) -> Learner:
    """Gradient descent whose rates fall with the sum of squared gradients, element by element.

    a += g^2; p -= rate g / sqrt(a) / mean(1 / sqrt(a)); good for rare features.

    Args:
        common: the arguments that all learners share.
        need_ave_multiplier: whether rates are divided by their mean over the tensor.

    Returns:
        Learner.

    Raises:
        GraphError: if there are no parameters, or one twice.
        AttributeValueError: if a rate or momentum is no number, list or schedule.

    Example:
        >>> w = Parameter((2,), init=1.0)
        >>> adagrad([w], 0.1).parameters[0] is w
        True

    Source: CNTK 2.7 ``learners.adagrad``; Duchi, Hazan, Singer (2011).
    """
    return common.make(_rules.adagrad, need_ave_multiplier=bool(need_ave_multiplier))


@_builder(rate=TrainingParameterSchedule(1.0, 1))
def adadelta(
    common: _Common,
    rho: float = 0.95,
    epsilon: float = 1e-8,
) -> Learner:
    """Adagrad with decaying averages and steps in the parameter's own units.

    Needs no tuning of the rate, whose default is 1 per sample.

    Args:
        common: the arguments that all learners share.
        lr: learning rate; number, list or schedule; None for 1 per sample.
        rho: share of the averages kept, 0 to 1.
        epsilon: added to averages before their roots are taken.

    Returns:
        Learner.

    Raises:
        GraphError: if there are no parameters, or one twice.
        AttributeValueError: if a rate or momentum is no number, list or schedule.

    Example:
        >>> w = Parameter((2,), init=1.0)
        >>> adadelta([w]).parameters[0] is w
        True

    Source: CNTK 2.7 ``learners.adadelta``; Zeiler (2012).
    """
    return common.make(_rules.adadelta, rho=float(rho), epsilon=float(epsilon))


@_builder()
def fsadagrad(
    common: _Common,
    momentum: Schedulable,
    unit_gain: bool | None = None,
    variance_momentum: Schedulable | None = None,
) -> Learner:
    """Momentum over gradients that are divided by the root of averaged squares: Adam's predecessor in CNTK.

    A gradient is enlarged tenfold at most.

    Args:
        common: the arguments that all learners share.
        momentum: share of the last step kept; number, list or schedule.
        unit_gain: whether gradients are scaled by 1 - momentum; None for the default value.
        variance_momentum: the same for squared gradients; None averages over 720000 samples.

    Returns:
        Learner.

    Raises:
        GraphError: if there are no parameters, or one twice.
        AttributeValueError: if a rate or momentum is no number, list or schedule.

    Example:
        >>> w = Parameter((2,), init=1.0)
        >>> fsadagrad([w], 0.1, 0.9).parameters[0] is w
        True

    Source: CNTK 2.7 ``learners.fsadagrad``; Duchi, Hazan, Singer (2011).
    """
    gain = default_unit_gain_value() if unit_gain is None else unit_gain
    variance = _variance_momentum(variance_momentum)
    return common.make(_rules.fsadagrad, momentum, variance, gain)


@_builder()
def adam(
    common: _Common,
    momentum: Schedulable,
    unit_gain: bool | None = None,
    variance_momentum: Schedulable | None = None,
    *,
    epsilon: float = 1e-8,
    adamax: bool = False,
) -> Learner:
    """Adam: averaged gradients divided by the root of averaged squares, corrected for the start.

    With plain numbers the rule sees *summed* gradients, as in CNTK; ``minibatch_size=IGNORE`` gives the usual means.

    Args:
        common: the arguments that all learners share.
        momentum: share of the last step kept; number, list or schedule.
        unit_gain: whether gradients are scaled by 1 - momentum; None for the default value.
        variance_momentum: the same for squared gradients; None averages over 720000 samples.
        epsilon: added to the root of averaged squares.
        adamax: use the largest gradient in place of the root of averaged squares.

    Returns:
        Learner.

    Raises:
        GraphError: if there are no parameters, or one twice.
        AttributeValueError: if a rate or momentum is no number, list or schedule.

    Example:
        >>> w = Parameter((2,), init=1.0)
        >>> adam([w], 0.001, 0.9).parameters[0] is w
        True

    Source: CNTK 2.7 ``learners.adam``; Kingma, Ba (2015).
    """
    if epsilon < 0:
        raise AttributeValueError(f"adam: epsilon is {epsilon}, it must not be negative", fix="give 1e-8 or the like")
    gain = default_unit_gain_value() if unit_gain is None else unit_gain
    rule = _rules.adamax if adamax else _rules.adam
    variance = _variance_momentum(variance_momentum)
    return common.make(rule, momentum, variance, gain, epsilon=float(epsilon))


@_builder()
def rmsprop(
    common: _Common,
    gamma: float,
    inc: float,
    dec: float,
    max: float,
    min: float,
    need_ave_multiplier: bool = True,
) -> Learner:
    """Gradients divided by the root of averaged squares, with a step size for each element.

    A step size grows by ``inc`` while the sign of its gradient stays, and shrinks by ``dec`` when it turns.

    Args:
        common: the arguments that all learners share.
        gamma: share of the averaged squares kept, between 0 and 1.
        inc: factor of a growing step size, above 1.
        dec: factor of a shrinking step size, between 0 and 1.
        max: largest step size.
        min: smallest step size.
        need_ave_multiplier: whether rates are divided by their mean over the tensor.

    Returns:
        Learner.

    Raises:
        GraphError: if there are no parameters, or one twice.
        AttributeValueError: if a rate or momentum is no number, list or schedule.
        TrainingError: if a factor is out of its range.

    Example:
        >>> w = Parameter((2,), init=1.0)
        >>> rmsprop([w], 0.1, 0.95, 1.2, 0.7, 10.0, 0.1).parameters[0] is w
        True

    Source: CNTK 2.7 ``learners.rmsprop``; Tieleman, Hinton (2012), lecture 6.5.
    """
    _check(0 < gamma < 1, "rmsprop", f"gamma is {gamma}, it must lie between 0 and 1", "give 0.95 or the like")
    _check(inc > 1, "rmsprop", f"inc is {inc}, it must be above 1", "give 1.2 or the like")
    _check(0 < dec < 1, "rmsprop", f"dec is {dec}, it must lie between 0 and 1", "give 0.75 or the like")
    _check(
        max > 0 and max > min,
        "rmsprop",
        f"max is {max} and min is {min}, max must be above min and above 0",
        "swap them",
    )
    return common.make(
        _rules.rmsprop,
        gamma=float(gamma),
        inc=float(inc),
        dec=float(dec),
        max=float(max),
        min=float(min),
        need_ave_multiplier=bool(need_ave_multiplier),
    )


def _variance_momentum(given: Schedulable | None) -> Schedulable:
    return momentum_schedule_per_sample(_DEFAULT_VARIANCE_MOMENTUM) if given is None else given

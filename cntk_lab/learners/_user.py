"""Learners written by the user: UserLearner in Python, universal as a graph of assignments.

In the training plan they only keep the gradients, which are handed to them after each minibatch. Knows parameters and
schedules only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from cntk_lab.errors import ShapeError, SignatureError
from cntk_lab.formula.expr import input_
from cntk_lab.graph.variable import Constant, Parameter
from cntk_lab.learners._declare import Formulas, Rule, Update
from cntk_lab.learners._learner import Learner, _zeros
from cntk_lab.learners._schedules import TrainingParameterSchedule
from cntk_lab.tensor.arrays import NDArrayView, to_host
from cntk_lab.tensor.shape import is_known


def _no_formulas() -> Formulas:
    raise NotImplementedError("a user learner has no formulas")


_NO_RULE = Rule("user learner", (), _no_formulas, {})


class _Parameters(tuple[Parameter, ...]):
    """The parameters of a learner of the user, which are asked for by a call: ``learner.parameters()``, as in CNTK."""

    __slots__ = ()

    def __call__(self) -> tuple[Parameter, ...]:
        """The parameters."""
        return tuple(self)


class UserLearner(Learner):
    """Base of learners written in Python: override :meth:`update`.

    Args:
        parameters: the parameters to update; no duplicates.
        lr_schedule: learning rate; ``learning_rate()`` follows it.
        as_numpy: whether gradients come as NumPy arrays; else as NDArrayView.

    Example:
        >>> class Plain(UserLearner):
        ...     def update(self, gradient_values, training_sample_count, sweep_end):
        ...         for p, g in gradient_values.items():
        ...             p.value = p.value - self.learning_rate() / training_sample_count * g
        ...         return True

    Source: CNTK 2.7 ``learners.UserLearner``.
    """

    has_formulas = False

    def __init__(
        self, parameters: Iterable[Parameter], lr_schedule: TrainingParameterSchedule, as_numpy: bool = True
    ) -> None:
        if not isinstance(lr_schedule, TrainingParameterSchedule):
            raise SignatureError(
                f"the learning rate of a user learner is a {type(lr_schedule).__name__}, not a schedule",
                fix="give learning_parameter_schedule(0.1)",
            )
        super().__init__(parameters, _NO_RULE, lr_schedule)
        self._parameters = _Parameters(self._parameters)
        self.as_numpy = as_numpy
        self._gradients = [_zeros(p) for p in self.parameters]
        self._keep = tuple(
            Update(p, (("gradient", input_("g")),), {"gradient": kept}, ())
            for p, kept in zip(self.parameters, self._gradients, strict=True)
        )

    def updates(self) -> tuple[Update, ...]:
        """Formulas that only keep each parameter's gradient, for :meth:`take_kept`."""
        return self._keep

    def take_kept(self, sample_count: int, sweep_end: bool = False) -> bool:
        """Hand the gradients that a training step kept to :meth:`update`, and count the minibatch.

        Args:
            sample_count: samples in the minibatch.
            sweep_end: whether it ended a sweep over the data.

        Returns:
            Whether an update was done.
        """
        kept = {p: to_host(g.array).copy() for p, g in zip(self.parameters, self._gradients, strict=True)}
        return self.take(kept, sample_count, sweep_end)

    def update(
        self, gradient_values: Mapping[Parameter, Any], training_sample_count: int, sweep_end: bool = False
    ) -> bool:
        """Change the parameters. To be overridden.

        Args:
            gradient_values: for each parameter the sum of its gradients over the minibatch.
            training_sample_count: samples in the minibatch.
            sweep_end: whether the minibatch ended a sweep over the data.

        Returns:
            Whether an update was done.
        """
        raise NotImplementedError(f"{type(self).__name__} does not override update()")

    def take(self, gradient_values: Mapping[Parameter, Any], sample_count: int, sweep_end: bool = False) -> bool:
        """Hand gradients to :meth:`update` in the form it wants, and count the minibatch."""
        self.tell_rates()
        values: dict[Parameter, Any] = {p: np.asarray(gradient_values[p]) for p in self.parameters}
        if not self.as_numpy:
            values = {p: NDArrayView.from_dense(g) for p, g in values.items()}
        done = bool(self.update(values, sample_count, sweep_end))
        if done:
            self.advance(sample_count, sweep_end)
        return done


class _UniversalLearner(UserLearner):
    """Evaluates a graph that assigns new values to parameters."""

    def __init__(
        self,
        update_func: Callable[[Any, Any], Any],
        parameters: Iterable[Parameter],
        gradients: Iterable[Constant] | None = None,
    ) -> None:
        super().__init__(parameters, TrainingParameterSchedule(1.0, 1))
        self._parameters = tuple(self._parameters)
        if gradients is None:
            gradients = [Constant(0.0, shape=p.shape, dtype=p.dtype, name="grad") for p in self.parameters]
        self._constants = list(gradients)
        made = update_func(list(self.parameters), list(self._constants))
        if not hasattr(made, "eval") or not hasattr(made, "outputs"):
            raise SignatureError(
                f"universal: update_func returned {made!r}, not a function of the graph",
                fix="return combine([assign(p, ...), ...]) of the parameters and gradients",
            )
        self._function = made

    def update(
        self, gradient_values: Mapping[Parameter, Any], training_sample_count: int, sweep_end: bool = False
    ) -> bool:
        """Set the gradients and evaluate the graph."""
        del training_sample_count, sweep_end
        for p, constant in zip(self.parameters, self._constants, strict=True):
            constant.value = np.asarray(gradient_values[p])
        self._function.eval({})
        return True


def universal(update_func: Callable[[Any, Any], Any], parameters: Iterable[Parameter]) -> Learner:
    """A learner that is a graph: ``update_func`` builds a function that assigns new values to the parameters.

    Args:
        update_func: called once with the list of parameters and the list of their gradients (constants of the same
            shapes); returns a Function whose evaluation assigns the new values.
        parameters: the parameters to update; their shapes must be known.

    Returns:
        Learner.

    Raises:
        ShapeError: if a parameter has dimensions that are not known yet.
        SignatureError: if ``update_func`` does not return a Function.

    Example:
        >>> import cntk_lab as C
        >>> w = C.parameter((2,), init=1.0)
        >>> learner = universal(lambda ps, gs: C.combine([C.assign(p, p - 0.5 * g) for p, g in zip(ps, gs)]), [w])
        >>> learner.parameters[0] is w
        True

    Source: CNTK 2.7 ``learners.universal``.
    """
    given = list(parameters)
    for p in given:
        if not is_known(p.type.shape):
            raise ShapeError(
                f"universal: {p} has dimensions that are not known yet",
                fix="apply the layer to an input first, so that the dimensions are inferred",
            )
    return _UniversalLearner(update_func, given)

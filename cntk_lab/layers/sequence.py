"""Layers over sequences: recurrences, folds, delays, windows of past frames, unfolding from a state.

Names of ``cntk_lab.ops.sequence`` are found here too, because ``layers.sequence`` was that module in CNTK. Must not
know any particular recurrent cell.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from cntk_lab import ops
from cntk_lab.default_options import default_override_or, get_default_override
from cntk_lab.errors import AttributeValueError, SignatureError
from cntk_lab.graph.function import Function
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.signature import function_from, own_arguments
from cntk_lab.layers.blocks import _get_initial_state_or_default, _inject_name
from cntk_lab.ops import BlockFunction, combine, placeholder, reconcile_dynamic_axes, splice
from cntk_lab.ops import sequence as frames

__all__ = ["Delay", "Fold", "PastValueWindow", "Recurrence", "RecurrenceFrom", "UnfoldFrom"]


def __getattr__(name: str) -> Any:
    if name in frames.__all__:
        return getattr(frames, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def Delay(T: int = 1, initial_state: Any = default_override_or(0), name: str = "") -> Function:
    """A layer that gives the frame ``T`` steps earlier.

    Args:
        T: number of frames to look back; below 0 looks ahead, 0 gives the frame itself.
        initial_state: value where there is no such frame.
        name: name of the layer.

    Returns:
        Function of the operand's shape.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.Delay(1)(C.sequence.input_variable(1))([[[1], [2], [3]]])[0].ravel().tolist()
        [0.0, 1.0, 2.0]

    Source: CNTK 2.7 ``layers.Delay``.
    """
    state = _get_initial_state_or_default(get_default_override(Delay, initial_state=initial_state))

    @BlockFunction("Delay", name)
    def delay(x: Operand) -> Any:
        if T > 0:
            return frames.past_value(x, time_step=T, initial_state=state)
        return x if T == 0 else frames.future_value(x, time_step=-T, initial_state=state)

    return delay


def PastValueWindow(
    window_size: int,
    axis: int,
    go_backwards: Any = default_override_or(False),
    name: str = "",
) -> Function:
    """A layer that gives the last frames of each sequence as one static axis, the newest first.

    Args:
        window_size: number of frames.
        axis: the new axis, counted from the end (-1: behind the frame's last axis' position).
        go_backwards: whether the first frames are taken instead of the last ones.
        name: name of the layer.

    Returns:
        Function with two outputs: ``value`` (frames x frame), and ``valid`` (frames x 1), 1 where there is a frame. A
        window of one frame adds no axis: ``value`` (frame), ``valid`` ().

    Example:
        >>> import cntk_lab as C
        >>> value, valid = C.layers.PastValueWindow(2, -2)(C.sequence.input_variable(1))([[[1], [2], [3]]])
        >>> value.tolist(), valid.tolist()
        ([[[3.0], [2.0]]], [[[1.0], [1.0]]])

    Source: CNTK 2.7 ``layers.PastValueWindow``.
    """
    backwards = bool(get_default_override(PastValueWindow, go_backwards=go_backwards))
    steps = [-t if backwards else t for t in range(window_size)]
    final = frames.first if backwards else frames.last

    @BlockFunction("PastValueWindow", name)
    def window(x: Operand) -> Any:
        here = frames.broadcast_as(1, x)
        value = splice(*(final(Delay(t)(x)) for t in steps), axis=axis, name="value")
        valid = splice(*(final(Delay(t)(here)) for t in steps), axis=axis, name="valid")
        return value, valid

    return window


# ---- recurrences


def _sanitize_function(f: Any) -> Function:
    """A step function given as Python function, as a Function."""
    if isinstance(f, Function):
        return f
    if not callable(f):
        raise SignatureError(f"{f!r} is not a step function", fix="give a cell such as LSTM(300), or a Python function")
    return function_from(f)


_santize_step_function = _sanitize_function  # CNTK's spelling, which clients use
_STATE_NAMES = ("h", "c", "a", "b", "d", "e", "f", "g", "i", "j")


def _states(step: Function) -> int:
    """How many state variables a step function has: its arguments but the last, which is the frame."""
    count = len(own_arguments(step)) - 1
    if count < 1 or len(step.outputs) != count:
        raise SignatureError(
            f"the step function takes {count} states and a frame, and gives {len(step.outputs)} states",
            fix="give as many states as are taken, in the same order: (h, c, x) -> (h, c)",
        )
    if count > len(_STATE_NAMES):
        raise AttributeValueError(
            f"RecurrenceFrom: {count} state variables are more than {len(_STATE_NAMES)}",
            fix="splice some of them into one",
        )
    return count


def RecurrenceFrom(
    step_function: Any,
    go_backwards: Any = default_override_or(False),
    return_full_state: bool = False,
    name: str = "",
) -> Function:
    """Applies a step function to all frames, from an initial state that is an argument.

    Args:
        step_function: (states ..., frame) -> states ...; the first state is the output.
        go_backwards: whether to begin with the last frame.
        return_full_state: whether all states are outputs.
        name: name of the result.

    Returns:
        Function (states ..., x).

    Raises:
        SignatureError: if the step function does not give as many states as it takes.

    Example:
        >>> import cntk_lab as C
        >>> total = C.layers.RecurrenceFrom(lambda h, x: h + x)
        >>> total(C.constant([10]), C.sequence.input_variable(1))([[[1], [2], [3]]])[0].ravel().tolist()
        [11.0, 13.0, 16.0]

    Source: CNTK 2.7 ``layers.RecurrenceFrom``.
    """
    backwards = bool(get_default_override(RecurrenceFrom, go_backwards=go_backwards))
    step = _sanitize_function(step_function)
    names = [*_STATE_NAMES[: _states(step)], "x"]

    def recurrence(*operands: Operand) -> Function:
        *initial, x = operands
        return _loop(step, initial, x, backwards=backwards, full=return_full_state)

    order = inspect.Parameter.POSITIONAL_OR_KEYWORD
    setattr(recurrence, "__signature__", inspect.Signature([inspect.Parameter(n, order) for n in names]))  # noqa: B010  (no function declares it)
    return _inject_name(function_from(recurrence), name)  # type: ignore[no-any-return]


def _loop(step: Function, initial: list[Any], x: Any, *, backwards: bool, full: bool) -> Function:
    """The graph of a recurrence: the step function, its states delayed by one frame."""
    delay = frames.future_value if backwards else frames.past_value
    open_ = [placeholder(name="") for _ in initial]
    previous = [delay(o, initial_state=s) for o, s in zip(open_, initial, strict=True)]
    new: Function = step(*previous, x)
    new.replace_placeholders(dict(zip(open_, new.outputs, strict=True)))
    return new if full else combine([new.outputs[0]])


def Recurrence(
    step_function: Any,
    go_backwards: Any = default_override_or(False),
    initial_state: Any = default_override_or(0),
    return_full_state: bool = False,
    name: str = "",
) -> Function:
    """Applies a step function such as ``LSTM(300)`` to all frames of a sequence.

    Args:
        step_function: (states ..., frame) -> states ...; the first state is the output.
        go_backwards: whether to begin with the last frame.
        initial_state: the states before the first frame: one for all, or a tuple with one for each.
        return_full_state: whether all states are outputs.
        name: name of the result.

    Returns:
        Function of a sequence: a sequence of outputs.

    Raises:
        SignatureError: if the step function does not give as many states as it takes, or the number of initial states
            is another.

    Example:
        >>> import cntk_lab as C
        >>> total = C.layers.Recurrence(lambda h, x: h + x)(C.sequence.input_variable(1))
        >>> total([[[1], [2], [3]]])[0].ravel().tolist()
        [1.0, 3.0, 6.0]

    Source: CNTK 2.7 ``layers.Recurrence``.
    """
    backwards = bool(get_default_override(Recurrence, go_backwards=go_backwards))
    given = get_default_override(Recurrence, initial_state=initial_state)
    step = _sanitize_function(step_function)
    return _inject_name(_recurrence("Recurrence", step, given, backwards=backwards, full=return_full_state), name)  # type: ignore[no-any-return]


def _recurrence(layer: str, step: Function, given: Any, *, backwards: bool, full: bool) -> Function:
    count = _states(step)
    if isinstance(given, tuple):
        initial = [_get_initial_state_or_default(s) for s in given]
    else:
        initial = [_get_initial_state_or_default(given)] * count
    if len(initial) != count:
        raise SignatureError(
            f"{layer}: the step function has {count} states, {len(initial)} initial states are given",
            fix="give one initial state for all, or a tuple with one for each",
        )
    return _loop(step, initial, placeholder(name="x"), backwards=backwards, full=full)


def Fold(
    folder_function: Any,
    go_backwards: Any = default_override_or(False),
    initial_state: Any = default_override_or(0),
    return_full_state: bool = False,
    name: str = "",
) -> Function:
    """Applies a step function to all frames of a sequence and gives the final state.

    Args:
        folder_function: (states ..., frame) -> states ...; the first state is the output.
        go_backwards: whether to begin with the last frame.
        initial_state: the states before the first frame: one for all, or a tuple with one for each.
        return_full_state: whether all states are outputs.
        name: name of the result.

    Returns:
        Function of a sequence: one value for each sequence.

    Raises:
        SignatureError: if the step function does not give as many states as it takes.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.Fold(C.plus)(C.sequence.input_variable(1))([[[1], [2], [3]]]).tolist()
        [[6.0]]

    Source: CNTK 2.7 ``layers.Fold``.
    """
    backwards = bool(get_default_override(Fold, go_backwards=go_backwards))
    given = get_default_override(Fold, initial_state=initial_state)
    step = _sanitize_function(folder_function)
    whole = _recurrence("Fold", step, given, backwards=backwards, full=return_full_state)
    final = frames.first if backwards else frames.last
    return _inject_name(combine([final(o) for o in whole.outputs]), name)  # type: ignore[no-any-return]


def UnfoldFrom(
    generator_function: Callable[..., Any],
    until_predicate: Callable[..., Any] | None = None,
    length_increase: float = 1,
    name: str = "",
) -> Function:
    """Makes a sequence from a state: each frame comes from the state after the frame before.

    Args:
        generator_function: state -> output, which is also the next state; or state -> (output, next state).
        until_predicate: output -> whether the sequence ends with this frame; default it has its full length.
        length_increase: frames made for each frame of the sequence that gives the length.
        name: name of the result.

    Returns:
        Function (initial_state, dynamic_axes_like): a sequence as long as ``dynamic_axes_like``, times
        ``length_increase``, or up to the frame that ends it.

    Raises:
        AttributeValueError: if ``length_increase`` is not above 0.

    Example:
        >>> import cntk_lab as C
        >>> doubling = C.layers.UnfoldFrom(lambda state: state * 2)
        >>> doubling(C.constant([1]), C.sequence.input_variable(1))([[[0], [0], [0]]])[0].ravel().tolist()
        [2.0, 4.0, 8.0]

    Source: CNTK 2.7 ``layers.UnfoldFrom``.
    """
    if not length_increase > 0:
        raise AttributeValueError(
            f"UnfoldFrom: length_increase is {length_increase}", fix="it is above 0; 1 keeps the length"
        )
    generator = _sanitize_function(generator_function)
    if len(generator.outputs) not in (1, 2):
        raise SignatureError(
            f"UnfoldFrom: the generator has {len(generator.outputs)} outputs",
            fix="it gives (output) or (output, next state)",
        )

    def unfold(initial_state: Operand, dynamic_axes_like: Operand) -> Any:
        out_axis = dynamic_axes_like
        if length_increase != 1:
            out_axis = frames.where(frames.broadcast_as(ops.constant(length_increase), dynamic_axes_like))
        forward = placeholder(name="unfold_state")
        z = generator(frames.past_value(forward, initial_state=initial_state, name="unfold_prev_state"))
        output, state = z.outputs[0], z.outputs[-1]
        resolved = reconcile_dynamic_axes(state, out_axis)
        z.replace_placeholders({forward: resolved.output})
        output = combine([output], name="unfold_output")
        if until_predicate is None:
            return output
        going = Recurrence(lambda h, x: (1 - frames.past_value(x)) * h, initial_state=1, name="valid_frames")
        return frames.gather(output, going(until_predicate(output)), name="valid_output")

    return _inject_name(function_from(unfold), name)  # type: ignore[no-any-return]

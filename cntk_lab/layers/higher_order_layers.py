"""Layers made of layers: one after the other, repeated, with shortcuts. Must not know any particular layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from typing import Any

from cntk_lab.errors import AttributeValueError, SignatureError
from cntk_lab.graph.signature import chain, positional_parameters
from cntk_lab.layers.blocks import _graph, _inject_name, identity

__all__ = ["For", "ResNetBlock", "Sequential", "SequentialClique", "identity"]


def Sequential(layers: Any, name: str = "") -> Any:
    """One layer after the other.

    A tuple among the layers is applied side by side: its functions get the same operand, and the next layer gets their
    outputs as its arguments. A list inside is a Sequential of its own.

    Args:
        layers: layers, operators and Python functions of variables, in order.
        name: name of the result.

    Returns:
        Function.

    Raises:
        SignatureError: if something is no function.

    Example:
        >>> import cntk_lab as C
        >>> from cntk_lab.layers import Dense, Sequential
        >>> model = Sequential([Dense(10, activation=C.relu), (Dense(3), Dense(3)), C.plus])
        >>> model(C.input_variable(5)).shape
        (3,)

    Source: CNTK 2.7 ``layers.Sequential``.
    """
    if not isinstance(layers, list):
        _check(layers)
        return _inject_name(layers, name)
    parts = [Sequential(part) if isinstance(part, list) else part for part in layers]
    for part in parts:
        _check(part)
    return _inject_name(reduce(chain, parts, identity), name)


def _check(part: Any) -> None:
    for f in part if isinstance(part, tuple) else (part,):
        if not callable(f) and not isinstance(f, (list, tuple)):
            raise SignatureError(
                f"Sequential: {f!r} is no function", fix="layers are made by calling their factory: Dense(10), not 10"
            )


def For(what_range: Iterable[Any], constructor: Any, name: str = "") -> Any:
    """Layers made by a function for each number of a range, one after the other.

    Args:
        what_range: the numbers, usually ``range(n)``.
        constructor: makes the layer, or the list of layers, for a number; may also take no argument.
        name: name of the result.

    Returns:
        Function.

    Raises:
        SignatureError: if ``constructor`` is no Python function, or a layer instead of a function that makes one.

    Example:
        >>> import cntk_lab as C
        >>> from cntk_lab.layers import Dense, For
        >>> model = For(range(3), lambda i: Dense(10 - i))(C.input_variable(5))
        >>> model.shape, len(model.parameters)
        ((8,), 6)

    Source: CNTK 2.7 ``layers.For``.
    """
    if not (inspect.isroutine(constructor) or inspect.isclass(constructor) or isinstance(constructor, partial)):
        raise ConstructorError(
            f"For: {constructor!r} is no Python function that makes a layer",
            fix="write For(range(3), lambda: Dense(10)): each repetition needs parameters of its own",
        )
    if not isinstance(what_range, Iterable):
        raise SignatureError(f"For: {what_range!r} is not a range", fix=f"write range({what_range!r})")
    make: Callable[..., Any] = constructor
    takes_number = bool(positional_parameters(make))
    return Sequential([make(i) if takes_number else make() for i in what_range], name)


class ConstructorError(AttributeValueError, SignatureError):
    """Something stands where a function that makes layers should."""


def SequentialClique(functions: Sequence[Any], name: str = "") -> Any:
    """One layer after the other, each getting the sum of its predecessors' outputs and the operand.

    Args:
        functions: layers whose outputs have the operand's shape.
        name: name of the result.

    Returns:
        Function: the output of the last layer.

    Example:
        >>> import cntk_lab as C
        >>> double = lambda x: x * 2
        >>> C.layers.SequentialClique([double, double])(C.constant([1])).eval().tolist()
        [6.0]

    Source: CNTK 2.7 ``layers.SequentialClique``; Huang et al. (2017) with sums instead of concatenation.
    """

    def clique(x: Any) -> Any:
        out = x
        for f in functions:
            out = f(x)
            x = x + out
        return out

    return _graph(clique, name)


def ResNetBlock(f: Any, name: str = "") -> Any:
    """A layer with a shortcut around it: ``f(x) + x``.

    Args:
        f: function whose output has the operand's shape.
        name: name of the result.

    Returns:
        Function.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.ResNetBlock(lambda x: x * 2)(C.constant([1])).eval().tolist()
        [3.0]

    Source: CNTK 2.7 ``layers.ResNetBlock``; He et al. (2016).
    """

    def skip(x: Any) -> Any:
        return f(x) + x

    return _graph(skip, name)

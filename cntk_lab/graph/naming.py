"""Unique identifiers, and where in the user's program something was built."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

from cntk_lab.errors import GraphError

_counter = itertools.count()
_PACKAGE = str(Path(__file__).resolve().parent.parent) + "/"
_forbidden: ContextVar[str] = ContextVar("forbidden", default="")
_left: ContextVar[list[int] | None] = ContextVar("left", default=None)
_layers: ContextVar[tuple[str, ...]] = ContextVar("layers", default=())


def new_uid(kind: str) -> str:
    """A name that nothing else in this process has: the kind and a running number.

    Raises:
        GraphError: if more is made than :func:`at_most` allows.
    """
    if (left := _left.get()) is not None:
        left[0] -= 1
        if left[0] < 0:
            raise GraphError(f"it makes more than {left[1]:,} nodes, variables and weights", fix="ask for fewer")
    return f"{kind}{next(_counter)}"


@contextlib.contextmanager
def at_most(count: int) -> Iterator[list[int]]:
    """While this holds, no more than so many nodes, variables and weights can be made: for programs from anywhere.

    Args:
        count: how many.

    Yields:
        How many are left (below 0: more were asked for), and ``count``.
    """
    left = [count, count]
    token = _left.set(left)
    try:
        yield left
    finally:
        _left.reset(token)


def user_line() -> str:
    """The line of the user's program that is running, as ``file.py:12``; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    if frame is None:
        return ""
    name = frame.f_code.co_filename
    if "ipykernel" in name or name.startswith("<ipython"):
        return f"cell line {frame.f_lineno}"
    return f"{os.path.basename(name)}:{frame.f_lineno}"  # noqa: PTH119  (called for every node: a Path costs 20 times as much)


@contextlib.contextmanager
def inside_layer(name: str) -> Iterator[None]:
    """While this holds, errors and nodes say that they belong to the layer ``name``."""
    token = _layers.set((*_layers.get(), name))
    try:
        yield
    finally:
        _layers.reset(token)


def current_layer() -> str:
    """The layers that are being built, outermost first, as ``Sequential / Dense 'h1'``; empty outside of layers."""
    return " / ".join(_layers.get())


@contextlib.contextmanager
def no_parameters(function: str) -> Iterator[None]:
    """While this holds, a network function of this name is being built, in which no parameter may be created."""
    token = _forbidden.set(function)
    try:
        yield
    finally:
        _forbidden.reset(token)


def function_without_parameters() -> str:
    """The network function that is being built and may create no parameters; empty if there is none."""
    return _forbidden.get()

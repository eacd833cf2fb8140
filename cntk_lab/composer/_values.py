"""What expressions of a program mean while it is built: flows of values, and makers of functions.

A maker is a layer before it is applied. It keeps the function it made (and so the weights) from one edit to the next,
and makes a new one when its parameters or the shapes of its operands change.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.composer._catalog import Entry
from cntk_lab.composer._source import Site
from cntk_lab.graph.variable import Variable


@dataclass(frozen=True, eq=False)
class Flow:
    """Values that exist in the graph: variables, and the drawn node that each comes from."""

    variables: tuple[Variable, ...]
    sources: tuple[str, ...]
    function: Any
    """What real functions are given: a Function or a Variable."""


@dataclass(frozen=True)
class Broken:
    """A value that cannot exist, because something before it is wrong; the problem has been noted."""

    source: str = ""


@dataclass(frozen=True)
class Namespace:
    """A module that a program may reach into: ``C``, ``C.layers``."""

    prefix: str


@dataclass
class Maker:
    """A function that can be applied.

    Args:
        site: where it is made in the program.
        uid: id of its drawn node: the site's, and for what is made repeatedly the number.
        title: what the node is called.
    """

    site: Site
    uid: str
    title: str
    name: str = ""


@dataclass
class LayerMaker(Maker):
    """A layer that its factory makes, or an operator that is applied like one."""

    make: Callable[[bool], Any] = field(default=lambda fresh: None)
    """Makes the function; told whether the makers among its arguments must be made anew too."""
    key: Any = None
    inner: Sequence[Maker] = ()
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


@dataclass
class GroupMaker(Maker):
    """Sequential, For, shortcuts, and functions side by side: layers made of makers."""

    entry: Entry | None = None
    items: list[Any] = field(default_factory=list)
    repeated: bool = False


@dataclass
class LambdaMaker(Maker):
    """A Python function of variables: what it gives for operands is found by reading its body again."""

    parameters: tuple[str, ...] = ()
    body: Any = None
    scope: dict[str, Any] = field(default_factory=dict)


@dataclass
class Kept:
    """A function from an earlier edit, and the types of the operands that it was first applied to."""

    function: Any
    own: tuple[Variable, ...]
    """Its parameters, and constants with a name, without those of makers among its arguments."""
    types: Any = None
    inner: tuple[Any, ...] = ()


def frozen(value: Any) -> Any:
    """A value as a key: equal keys mean that a layer made of it would be the same.

    Args:
        value: of an argument.
    """
    if isinstance(value, Entry):
        return ("entry", value.path)
    if isinstance(value, LayerMaker):
        return ("layer", value.uid, value.key)
    if isinstance(value, GroupMaker):
        return ("group", value.uid, value.title, value.name, tuple(frozen(v) for v in value.items))
    if isinstance(value, LambdaMaker):
        return ("lambda", value.uid, value.key if hasattr(value, "key") else "", id(value.body))
    if isinstance(value, Flow):
        return ("flow", tuple(id(v) for v in value.variables))
    if isinstance(value, Axis):
        return ("axis", value.name, value.is_ordered)
    if isinstance(value, dict):
        return tuple((str(k), frozen(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, tuple(frozen(v) for v in value))
    if isinstance(value, (bool, int, float, str, type(None), range)):
        return (type(value).__name__, value)
    return ("object", id(value))

"""What an ONNX file says, as plain records: model, graphs, nodes, attributes, types, tensors, functions.

Must not know bytes (that is ``description``) nor how numbers are stored (``tensors``), nor what an operator means.
Names are ONNX's, without "Proto". Source: ONNX's published IR specification and ``onnx.proto`` (IR version 13).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Dimension: TypeAlias = "int | str | None"
"""A size, the name of a size that is known when the model runs, or None: nothing is known."""

DEFAULT_DOMAINS = ("", "ai.onnx")
"""The two ways to write the domain of ONNX's own operators."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may ask for. The defaults are far above any real model and keep a hostile file from filling the
    memory. Tensors need no limit of their own: their elements are in the file.
    """

    nodes: int = 1_000_000
    """Nodes of all graphs and functions together; those of a function count again wherever it is called."""
    messages: int = 20_000_000
    """Messages (nodes, attributes, tensors, dimensions ...) together."""
    nesting: int = 96
    """Messages inside each other; a graph inside a graph takes three."""
    rank: int = 64
    """Dimensions of a tensor."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor whose values stand in the file (``stored``), in another file (``external``), or nowhere.

    ``element`` is the number of its element type; ``stored`` is the bytes of the field ``field``: packed as that
    field packs numbers. ``texts`` are the elements of a tensor of texts.
    """

    name: str
    element: int
    dims: tuple[int, ...]
    field: str = ""
    stored: memoryview | bytearray | None = None
    texts: tuple[bytes, ...] | None = None
    external: tuple[tuple[str, str], ...] | None = None
    doc: str = ""
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SparseTensor:
    """A tensor of which only some elements are stored: their values and their places."""

    values: Tensor
    indices: Tensor
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Type:
    """What a value is: a tensor of an element type and shape, or a sequence, map or optional of another type.

    ``kind`` is "tensor", "sparse tensor", "sequence", "optional", "map" or "opaque"; ``dims`` is None if not even the
    rank is known.
    """

    kind: str
    element: int = 0
    dims: tuple[Dimension, ...] | None = None
    inner: Type | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A named value of a graph: its type and what was written about it."""

    name: str
    type: Type | None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a node; ``reference`` names the attribute of the function's call that stands for it."""

    name: str
    value: AttributeValue
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One use of an operator or of a local function; an input that is left out has the name ""."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str = ""
    domain: str = ""
    overload: str = ""
    attributes: tuple[Attribute, ...] = ()
    doc: str = ""
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph: nodes, the tensors it starts with, what goes in and out, and what is known of the values between."""

    name: str
    nodes: tuple[Node, ...]
    initializers: tuple[Tensor, ...] = ()
    sparse_initializers: tuple[SparseTensor, ...] = ()
    inputs: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()
    values: tuple[Value, ...] = ()
    doc: str = ""
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LocalFunction:
    """A function that the file itself defines: nodes call it by domain, name and overload."""

    name: str
    domain: str
    overload: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: tuple[Value, ...] = ()
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A whole file."""

    ir_version: int
    graph: Graph
    opsets: tuple[tuple[str, int], ...] = ()
    producer: str = ""
    producer_version: str = ""
    domain: str = ""
    version: int = 0
    doc: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    functions: tuple[LocalFunction, ...] = ()
    trained: bool = False
    """Whether the file also says how to train; that part is not read."""


_Single: TypeAlias = "int | float | bytes | Tensor | SparseTensor | Graph | Type | None"
AttributeValue: TypeAlias = "_Single | tuple[_Single, ...]"

"""A graph of ONNX records while it is written: nodes, constants and names that nothing else has.

Must not know operators of ours. A value is a name with what is known of it: how many dynamic axes stand in front
(batch, or batch and sequence), static dimensions, element type. Equal constants are written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab.formats.onnx.records import Attribute, AttributeValue, Graph, Node, Tensor, Value
from cntk_lab.formats.onnx.tensors import ELEMENT_OF, tensor_of
from cntk_lab.tensor.shape import FREE, Shape

IR_VERSIONS: Final = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
"""Version of ONNX's operators -> version of the file format that came with it (onnx's table of versions)."""
AXES_AS_INPUT: Final = 18
"""The version since which every reduction is given its axes as an operand."""


@dataclass(frozen=True, slots=True)
class Held:
    """A value in the file: its name, number of dynamic axes, static dimensions and element type."""

    name: str
    lead: int
    dims: Shape
    dtype: str

    @property
    def rank(self) -> int:
        """Number of static axes."""
        return len(self.dims)


class Sheet:
    """One graph being written; the body of a loop is a sheet that reads names of the sheet around it.

    Args:
        opset: version of ONNX's operators.
        outer: the sheet around.
    """

    def __init__(self, opset: int, outer: Sheet | None = None) -> None:
        self.opset = opset
        self.outer = outer
        self.nodes: list[Node] = []
        self.scope: str = ""
        top = self
        while top.outer is not None:
            top = top.outer
        self.top = top
        if outer is None:
            self.initializers: dict[str, Tensor] = {}
            self.names: set[str] = set()
            self.known: dict[tuple[Any, ...], str] = {}
            self.counts: dict[str, int] = {}

    # ---- names and constants

    def fresh(self, wish: str) -> str:
        """A name like the one wished for that nothing else in the file has."""
        names, counts = self.top.names, self.top.counts
        name = wish
        while name in names:
            counts[wish] = counts.get(wish, 0) + 1
            name = f"{wish}_{counts[wish]}"
        names.add(name)
        return name

    def array(self, values: NDArray[Any], wish: str = "") -> str:
        """The name of a tensor of these values; equal ones without a name of their own are the same."""
        if wish:
            name = self.fresh(wish)
            self.top.initializers[name] = tensor_of(name, values)
            return name
        key = (values.dtype.name, values.shape, values.tobytes())
        found = self.top.known.get(key)
        if found is None:
            found = self.fresh("constant")
            self.top.initializers[found] = tensor_of(found, values)
            self.top.known[key] = found
        return found

    def number(self, value: float, dtype: str) -> str:
        """The name of a single number."""
        return self.array(np.asarray(value, dtype))

    def ints(self, *values: int) -> str:
        """The name of a list of whole numbers."""
        return self.array(np.asarray(values, np.int64))

    # ---- nodes

    def node(self, op: str, inputs: Iterable[str], outputs: int = 1, **attributes: Any) -> list[str]:
        """Write a node; the names of its outputs."""
        name = self.fresh(f"{self.scope}/{op}" if self.scope else op)
        made = [self.fresh(f"{name}.{i}") for i in range(outputs)]
        written = tuple(Attribute(key, _value(v)) for key, v in attributes.items() if v is not None)
        self.nodes.append(Node(op, tuple(inputs), tuple(made), name, attributes=written))
        return made

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Write a node of one output; its name."""
        return self.node(op, inputs, **attributes)[0]

    def cast(self, name: str, dtype: str) -> str:
        """A value in another element type."""
        return self.op("Cast", name, to=ELEMENT_OF[dtype])

    def unsqueezed(self, name: str, axes: Sequence[int]) -> str:
        """A value with axes of length 1 put in at these places of the result."""
        return self.op("Unsqueeze", name, self.ints(*axes)) if axes else name

    def squeezed(self, name: str, axes: Sequence[int]) -> str:
        """A value without these axes of length 1."""
        return self.op("Squeeze", name, self.ints(*axes)) if axes else name

    def transposed(self, name: str, order: Sequence[int]) -> str:
        """A value with its axes in another order."""
        return self.op("Transpose", name, perm=tuple(order)) if list(order) != list(range(len(order))) else name

    def reshaped(self, name: str, dims: Sequence[int]) -> str:
        """A value in another shape; 0 takes over the dimension at that place, -1 is what remains."""
        return self.op("Reshape", name, self.ints(*dims))

    def reduced(self, kind: str, name: str, axes: Sequence[int], *, keep: bool = True) -> str:
        """``Reduce<kind>`` along axes."""
        if kind == "Sum" or self.opset >= AXES_AS_INPUT:
            return self.op(f"Reduce{kind}", name, self.ints(*axes), keepdims=int(keep))
        return self.op(f"Reduce{kind}", name, axes=tuple(axes), keepdims=int(keep))

    def dim(self, name: str, axis: int) -> str:
        """The length of an axis, as a list of one whole number."""
        return self.op("Shape", name, start=axis, end=axis + 1)

    def shape(self, *parts: str) -> str:
        """Lists of whole numbers put together."""
        return self.op("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    # ---- values

    def static(self, held: Held) -> list[str]:
        """The static dimensions of a value as parts of a shape, read when the model runs where they are free."""
        if not held.dims:
            return []
        if FREE in held.dims:
            return [self.op("Shape", held.name, start=held.lead)]
        return [self.ints(*held.dims)]

    def aligned(self, held: Held, lead: int, rank: int) -> str:
        """The value with that many dynamic and static axes, so that ONNX broadcasts it as CNTK does.

        A value without dynamic axes is broadcast over them as it is; one sample for a sequence gets a sequence axis of
        length 1; missing static axes stand in front of those that are there.
        """
        if not held.lead:
            return held.name
        return self.unsqueezed(held.name, list(range(held.lead, lead + rank - held.rank)))

    def graph(self, name: str, inputs: Sequence[Value] = (), outputs: Sequence[Value] = (), **more: Any) -> Graph:
        """What was written, as a record."""
        tensors: tuple[Tensor, ...] = ()
        if self.outer is None:
            read = _names_read(self.nodes)
            tensors = tuple(t for name, t in self.initializers.items() if name in read)
        return Graph(name, tuple(self.nodes), tensors, inputs=tuple(inputs), outputs=tuple(outputs), **more)


def _names_read(nodes: Iterable[Node]) -> set[str]:
    """Names that nodes read, those of their bodies too."""
    found: set[str] = set()
    for node in nodes:
        found.update(node.inputs)
        for attribute in node.attributes:
            if isinstance(attribute.value, Graph):
                found |= _names_read(attribute.value.nodes)
    return found


def _value(value: Any) -> AttributeValue:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool):
        return int(value)
    return value  # type: ignore[no-any-return]

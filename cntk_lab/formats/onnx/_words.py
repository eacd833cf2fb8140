"""Types, attributes and facts of ONNX records as the numbers and words that a view shows.

Must not know the graph around a record. Everything here may come from a hostile file: texts are cut, values too.
"""

from __future__ import annotations

import re
from typing import Any, Final

from cntk_lab.formats.onnx import tensors
from cntk_lab.formats.onnx.records import (
    DEFAULT_DOMAINS,
    Attribute,
    Dimension,
    Graph,
    Model,
    Node,
    SparseTensor,
    Tensor,
    Type,
)

LONGEST: Final = 300
"""Characters of a text that is passed on."""
MOST_VALUES: Final = 50
INFERRED: Final = -1
FREE: Final = -3
_EIGHT_BITS: Final = 8

size, type_in_words = tensors.size, tensors.type_in_words


def cut(text: str) -> str:
    """A text of bearable length."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def domain_of(domain: str) -> str:
    """A domain of operators, ONNX's own as ""."""
    return "" if domain in DEFAULT_DOMAINS else domain


def place(type_: Type | None) -> tuple[list[int], list[str], str, dict[str, Any]]:
    """Shape, axes and element type of a value, and what they cannot say.

    Example:
        >>> place(Type("tensor", 1, ("N", 3, "width")))
        ([3, -3], ['N'], 'float32', {'dimensions': 'N x 3 x width'})
    """
    if type_ is None:
        return [INFERRED], [], "", {}
    if type_.dims is None:
        plain = type_.kind == "tensor"
        return [INFERRED], [], tensors.element_name(type_.element) if plain else cut(type_in_words(type_)), {}
    leading = 0
    while leading < len(type_.dims) and isinstance(type_.dims[leading], str):
        leading += 1
    axes = [cut(str(d)) for d in type_.dims[:leading]]
    rest = type_.dims[leading:]
    notes = {"dimensions": cut(tensors.dims_in_words(type_.dims))} if any(isinstance(d, str) for d in rest) else {}
    return [_dimension(d) for d in rest], axes, tensors.element_name(type_.element), notes


def _dimension(dimension: Dimension) -> int:
    if dimension is None:
        return INFERRED
    return FREE if isinstance(dimension, str) else min(dimension, 2**53)  # JSON's numbers are exact up to there


def facts(model: Model) -> dict[str, Any]:
    """What a model says of itself."""
    graph = model.graph
    given = {t.name for t in graph.initializers}
    found = {
        "format": f"ONNX, IR version {model.ir_version}",
        "made by": cut(f"{model.producer} {model.producer_version}".strip()),
        "operators": {domain_of(domain) or "ai.onnx": version for domain, version in model.opsets},
        "inputs": [f"{cut(v.name)}: {type_in_words(v.type)}" for v in graph.inputs if v.name not in given],
        "outputs": [f"{cut(v.name)}: {type_in_words(v.type)}" for v in graph.outputs],
        "domain": cut(model.domain),
        "version": model.version,
        "doc": cut("\n".join(dict.fromkeys(text for text in (model.doc, graph.doc) if text))),
        "metadata": {cut(key): cut(value) for key, value in (*model.metadata, *graph.metadata)},
        "training": "the file also says how to train; that part is not shown" if model.trained else "",
    }
    return {key: value for key, value in found.items() if value}


def attributes(node: Node) -> dict[str, Any]:
    """What is written beside a node."""
    found: dict[str, Any] = {}
    if domain_of(node.domain):
        found["domain"] = cut(node.domain)
    for attribute in node.attributes[:200]:
        found[cut(attribute.name)] = _attribute(attribute)
    if node.doc:
        found["doc"] = cut(node.doc)
    own = {cut(k): cut(v) for k, v in node.metadata[:MOST_VALUES] if k != "namespace" and not k.startswith("pkg.")}
    return {**found, "metadata": own} if own else found


def _attribute(attribute: Attribute) -> Any:
    if attribute.reference:
        return f"the call's {cut(attribute.reference)!r}"
    value = attribute.value
    if isinstance(value, tuple):
        shown = [_value(v) for v in value[:MOST_VALUES]]
        return [*shown, "…"] if len(value) > MOST_VALUES else shown
    return _value(value)


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return cut(value[: 4 * LONGEST].decode("utf-8", "backslashreplace"))
    if isinstance(value, Tensor):
        return cut(tensors.in_words(value))
    if isinstance(value, SparseTensor):
        return f"sparse {tensors.element_name(value.values.element)} {tensors.dims_in_words(value.dims)}"
    if isinstance(value, Type):
        return cut(type_in_words(value))
    if isinstance(value, Graph):
        return f"graph {cut(value.name)!r} of {len(value.nodes)} nodes"
    return value


def made_at(node: Node) -> str | None:
    """The line of the program that a node came from, where PyTorch's exporter wrote it down: the user's innermost."""
    trace = next((v for k, v in node.metadata if k == "pkg.torch.onnx.stack_trace"), "")[:20_000]
    lines = re.findall(r'File "([^"\n]{1,500})", line (\d{1,9})', trace)
    own = [line for line in lines if "site-packages" not in line[0]] or lines
    return f"{own[-1][0]}:{own[-1][1]}" if own else None


def is_weights(tensor: Tensor) -> bool:
    """Whether a tensor looks like learned numbers: fractions, or quantised ones; not sizes, places and switches."""
    kind = tensors.element_name(tensor.element)
    if kind.startswith(("float", "bfloat", "complex")):
        return True
    return "int" in kind and tensors.ELEMENTS[tensor.element].bits <= _EIGHT_BITS and size(tensor) > 1


def has_values(tensor: Tensor) -> bool:
    """Whether the values of a tensor stand somewhere, or there are none."""
    return tensor.stored is not None or tensor.texts is not None or tensor.external is not None or size(tensor) == 0


def tensor_attributes(tensor: Tensor) -> dict[str, Any]:
    """What is written beside a tensor, and its values if they are few."""
    found: dict[str, Any] = {}
    if tensor.external is not None:
        found["values"] = cut(tensors.external_in_words(tensor))
    elif size(tensor) <= MOST_VALUES // 5 and tensor.stored is not None:
        found["values"] = cut(tensors.in_words(tensor))
    if tensor.doc:
        found["doc"] = cut(tensor.doc)
    own = {cut(key): cut(value) for key, value in tensor.metadata[:MOST_VALUES] if not key.startswith("pkg.")}
    return {**found, "metadata": own} if own else found


def wiring(node: Node, body: Graph, opset: int) -> tuple[list[tuple[int, int]], int, int]:
    """How a body hangs together with the node that holds it.

    Args:
        node: If, Loop, Scan, or an operator of one's own.
        body: one of its graphs.
        opset: version of ONNX's operators.

    Returns:
        Pairs (output of the body, input of the body that it comes back to in the next round); the first input of the
        node that is handed to the body; the first output of the body that the node gives.

    Source: ONNX operator specifications, Loop-21, Scan-8, Scan-21.
    """
    ins, outs = len(body.inputs), len(body.outputs)
    if node.op == "Loop":  # in: round, condition, state ...; out: condition, state ..., collected ...
        return [(i, i + 1) for i in range(outs) if i + 1 < ins], 0, 1
    if node.op == "Scan":
        first = 1 if 0 < opset < 9 else 0
        scanned = next((a.value for a in node.attributes if a.name == "num_scan_inputs"), 0)
        states = max(0, ins - scanned) if isinstance(scanned, int) else 0
        return [(i, i) for i in range(min(states, outs, ins))], first, 0
    return [], 0, 0

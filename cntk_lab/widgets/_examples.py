"""Graphs made by hand, as the views get them: for tests, documentation and trying a view without a model."""

from __future__ import annotations

from typing import Any

from cntk_lab.widgets._snapshot import FORMAT, VERSION


class Sketch:
    """A snapshot written node by node."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []

    def node(
        self,
        uid: str,
        op: str,
        shape: list[int],
        *inputs: str,
        name: str = "",
        kind: str = "function",
        axes: list[str] | None = None,
        parent: str | None = None,
        **attributes: Any,
    ) -> str:
        """Add a node fed by others and give its uid."""
        count = 1
        for n in shape:
            count *= n
        self.nodes.append({
            "id": uid, "op": op, "name": name, "kind": kind, "shape": shape, "axes": ["#"] if axes is None else axes,
            "dtype": "float32", "parent": parent, "attributes": attributes, "source": "model.py:12",
            "parameters": count if kind == "parameter" else 0,
        })  # fmt: skip
        for port, source in enumerate(inputs):
            self.edge(source, uid, port)
        return uid

    def edge(self, source: str, target: str, port: int = 0, *, recurrent: bool = False) -> None:
        """Feed one node by another."""
        origin = next(node for node in self.nodes if node["id"] == source)
        self.edges.append({
            "from": source, "to": target, "port": port, "shape": origin["shape"], "axes": origin["axes"],
            "recurrent": recurrent,
        })  # fmt: skip

    def dense(self, uid: str, source: str, inputs: int, outputs: int, parent: str | None = None, name: str = "") -> str:
        """Add a block Dense and give the uid of its last node."""
        axes = next(node for node in self.nodes if node["id"] == source)["axes"]
        self.node(uid, "Dense", [outputs], kind="block", name=name or uid, parent=parent, axes=axes)
        weight = self.node(f"{uid}.W", "Parameter", [inputs, outputs], kind="parameter", name="W", parent=uid, axes=[])
        bias = self.node(f"{uid}.b", "Parameter", [outputs], kind="parameter", name="b", parent=uid, axes=[])
        times = self.node(f"{uid}.times", "Times", [outputs], source, weight, parent=uid, axes=axes, output_rank=1)
        plus = self.node(f"{uid}.plus", "Plus", [outputs], times, bias, parent=uid, axes=axes)
        return self.node(f"{uid}.relu", "ReLU", [outputs], plus, parent=uid, axes=axes)

    def snapshot(self, *outputs: str) -> dict[str, Any]:
        """The whole as plain data."""
        return {
            "format": FORMAT, "version": VERSION, "name": self.name, "nodes": self.nodes, "edges": self.edges,
            "outputs": list(outputs),
        }  # fmt: skip


def mlp(layers: int = 2, width: int = 200) -> dict[str, Any]:
    """A perceptron on images of 784 pixels, with its loss: blocks, parameters, one dynamic axis."""
    sketch = Sketch("MLP")
    at = sketch.node("x", "Input", [784], kind="input", name="features")
    for index in range(layers):
        at = sketch.dense(f"h{index + 1}", at, 784 if index == 0 else width, width)
    at = sketch.dense("z", at, width, 10)
    label = sketch.node("y", "Input", [10], kind="input", name="labels")
    loss = sketch.node("loss", "CrossEntropyWithSoftmax", [1], at, label, name="loss", axis=-1)
    return sketch.snapshot(loss)


def tagger() -> dict[str, Any]:
    """A tagger of sequences: an embedding, a recurrent block with a delay, a named dynamic axis."""
    sketch = Sketch("tagger")
    axes = ["#", "words"]
    words = sketch.node("w", "Input", [943], kind="input", name="words", axes=axes)
    sketch.node("rnn", "RNNStep", [150], kind="block", name="recurrence", axes=axes)
    weight = sketch.node("rnn.W", "Parameter", [943, 150], kind="parameter", name="W", parent="rnn", axes=[])
    inner = sketch.node("rnn.H", "Parameter", [150, 150], kind="parameter", name="H", parent="rnn", axes=[])
    times = sketch.node("rnn.times", "Times", [150], words, weight, parent="rnn", axes=axes)
    past = sketch.node("rnn.past", "PastValue", [150], parent="rnn", axes=axes, offset=1)
    again = sketch.node("rnn.again", "Times", [150], past, inner, parent="rnn", axes=axes)
    plus = sketch.node("rnn.plus", "Plus", [150], times, again, parent="rnn", axes=axes)
    state = sketch.node("rnn.tanh", "Tanh", [150], plus, parent="rnn", axes=axes)
    sketch.edge(state, past, recurrent=True)
    out = sketch.dense("tags", state, 150, 129)
    return sketch.snapshot(out)


def chain(nodes: int, *, alike: bool = False) -> dict[str, Any]:
    """A long chain of operators without blocks; alike: all the same, so that they fold."""
    sketch = Sketch(f"chain of {nodes}")
    at = sketch.node("x", "Input", [8], kind="input", name="x")
    names = ("Sin", "Exp", "Abs", "Tanh", "Floor", "Cos", "Negate")
    for index in range(nodes):
        # the square makes the order of the operators repeat nowhere
        op = "Sin" if alike else names[(index * index + index // 7) % len(names)]
        shape = [8] if alike else [8 + index % 91]
        sketch.nodes.append({
            "id": f"n{index}", "op": op, "name": "", "kind": "function", "shape": shape, "axes": ["#"],
            "dtype": "float32", "parent": None, "attributes": {}, "source": None, "parameters": 0,
        })  # fmt: skip
        sketch.edges.append({
            "from": at, "to": f"n{index}", "port": 0, "shape": shape, "axes": ["#"], "recurrent": False,
        })  # fmt: skip
        at = f"n{index}"
    return sketch.snapshot(at)

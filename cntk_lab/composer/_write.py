"""From a graph to a program: models that exist, opened in the composer.

Blocks become the layers that made them where a layer built anew is the same graph, node by node; everything else is
written as operators. Which weights belong to which call is remembered by marks in the text, which are taken out again.
"""

from __future__ import annotations

import functools
import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from cntk_lab._words import in_python, shown
from cntk_lab.axis import Axis
from cntk_lab.composer import _layer_code as layer_code
from cntk_lab.composer._catalog import Entry, as_code, entry_of
from cntk_lab.composer._program import Program
from cntk_lab.composer._twins import plain
from cntk_lab.errors import GraphError
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import Trait
from cntk_lab.graph.variable import Variable

STEP: Final = "    "
_MARK: Final = re.compile("\x00(\\d+)\x00")
_INFIX: Final = {"plus": "+", "minus": "-", "element_times": "*", "element_divide": "/"}
MOST_LITERALS: Final = 16
LONGEST_TITLE: Final = 60
"""Characters of the title, and of a variable."""


@dataclass
class Written:
    """A program, and which weights the calls in it have."""

    source: str
    calls: dict[int, list[Variable]] = field(default_factory=dict)
    """Where a call begins -> its weights."""
    opened: bool = False

    def weights(self, program: Program) -> Iterator[tuple[str, list[Variable]]]:
        """Ids of places and the weights of the layers there."""
        for site in program.sites:
            if site.kind.startswith("Call") and site.start in self.calls and site.kind != "Call ()":
                yield site.id, self.calls[site.start]


def write(function: Function) -> Written:
    """The program of a network.

    Args:
        function: any network of operators and layers.

    Raises:
        GraphError: if it has a loop that no recurrent layer of the library makes, or an operator of the user's.
    """
    writer = _Writer()
    body = writer.run(function)
    source, calls, at = "", {}, 0
    for mark in _MARK.finditer(body):
        source += body[at : mark.start()]
        calls[len(source)] = writer.weights[int(mark[1])]
        at = mark.end()
    return Written(source + body[at:], calls, opened=True)


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.weights: list[list[Variable]] = []
        self.names: dict[int, str] = {}
        self.taken: set[str] = {"C", "model"}
        self.recurrence = functools.cache(layer_code.recurrence)
        self.chain: list[str] = []
        self.chain_from = ""
        self.chain_at: Variable | None = None
        self.alias: dict[int, Variable] = {}
        self.shared: dict[tuple[int, ...], str] = {}
        """Weights of layers that are applied more than once -> the variable that holds the layer, "" before."""

    def run(self, function: Function) -> str:
        title = function.name or "A model"
        roots = list(function.outputs)
        self.uses = self._count(roots)
        for leaf in function.arguments:
            self.leaf(leaf)
        seen: set[tuple[int, ...]] = set()
        for node in self._ordered(roots):
            weights = tuple(id(v) for v in layer_code.own(node)) if node.block is not None else ()
            if weights and weights in seen:
                self.shared[weights] = ""
            seen.add(weights)
        for node in self._ordered(roots):
            if any(o.node is node for o in node.outputs):
                self.node(node)
        names = [self.read(r) for r in roots]
        result = names[0] if len(names) == 1 else f"C.combine({', '.join(names)})"
        last = f"{result} = "
        if self.lines and len(names) == 1 and self.lines[-1].startswith(last):
            self.lines[-1] = "model = " + self.lines[-1].removeprefix(last)
        else:
            self.lines.append(f"model = {result}")
        text = re.sub(r'["\\]', " ", shown(title, LONGEST_TITLE))
        return f'"""{text}."""\n\nimport cntk_lab as C\n\n' + "\n".join(self.lines) + "\n"

    # ---- the order of things

    def _ordered(self, roots: Sequence[Variable]) -> list[Node]:
        """Operands before users; a recurrent layer after what it reads, though its loop hides the order."""
        done: list[Node] = []
        seen: set[int] = set()
        stack: list[tuple[Node, bool]] = [(r.node, False) for r in reversed(roots) if r.node is not None]
        while stack:
            node, ready = stack.pop()
            if ready:
                done.append(node)
                continue
            if id(node) in seen:
                continue
            seen.add(id(node))
            stack.append((node, True))
            found = self.recurrence(node)
            below = list(found[3]) if found is not None else node.inputs
            stack.extend((v.node, False) for v in reversed(below) if v.node is not None)
        return done

    def _count(self, roots: Sequence[Variable]) -> dict[int, int]:
        """How often each value is read, the loops of recurrent layers left out."""
        out: dict[int, int] = {}
        for r in roots:
            out[id(r)] = out.get(id(r), 0) + 1
        for node in self._ordered(roots):
            found = self.recurrence(node)
            for v in found[3] if found is not None else node.inputs:
                out[id(v)] = out.get(id(v), 0) + 1
        return out

    def _in_loop(self, node: Node) -> bool:
        """Whether a node is the delay of a recurrent layer."""
        user = node.inputs[0].node
        return (
            user is not None and node.op.has(Trait.RECURRENT) and self.recurrence(user) is not None
            and any(v.node is node for v in user.inputs)
        )  # fmt: skip

    # ---- names and leaves

    def fresh(self, wanted: str) -> str:
        """A variable name that is not taken."""
        base = re.sub(r"\W+", "_", wanted[:LONGEST_TITLE]).strip("_").lower() or "h"
        if base[0].isdigit() or keyword.iskeyword(base) or base == "l":  # l is too like 1
            base = f"h_{base}"
        name, i = base, 1
        while name in self.taken:
            i += 1
            name = f"{base}_{i}"
        self.taken.add(name)
        return name

    def marked(self, weights: Sequence[Variable], text: str) -> str:
        """A call with a mark that says which weights it has."""
        self.weights.append(list(weights))
        return f"\x00{len(self.weights) - 1}\x00{text}"

    def leaf(self, v: Variable) -> str:
        """A statement for an input, parameter or constant; its name."""
        if id(v) in self.names:
            return self.names[id(v)]
        name = f", name={in_python(v.name)}" if v.name else ""
        shape = as_code(tuple(v.type.shape or ())) if len(v.type.shape or ()) != 1 else str(v.type.dims[0])
        if v.is_constant and not v.name and int(np.prod(v.type.shape or ())) <= MOST_LITERALS:
            value = v.value  # type: ignore[attr-defined]
            text = as_code(value.tolist()) if value.ndim else as_code(float(value))
            plain = not v.type.shape and v.type.dtype == "float32"
            self.names[id(v)] = text if plain else f"C.constant({text})"
            return self.names[id(v)]
        variable = self.fresh(v.name or ("x" if v.is_input else v.kind))
        dtype = f', dtype="{v.type.dtype}"' if v.type.dtype not in (None, "float32") else ""
        if v.is_parameter:
            text = self.marked([v], f"C.parameter({shape}{dtype}{name})")
        elif v.is_constant:
            text = self.marked([v], f"C.constant(0, shape={shape}{dtype}{name})")
        elif v.is_placeholder:
            text = f"C.placeholder({name.removeprefix(', ')})"
        else:
            text = self.input(v, shape, dtype + name)
        self.lines.append(f"{variable} = {text}")
        self.names[id(v)] = variable
        return variable

    def input(self, v: Variable, shape: str, rest: str) -> str:
        """The call that makes an input."""
        sparse = ", is_sparse=True" if v.type.sparse else ""
        axes = v.type.axes or ()
        if len(axes) == 1:
            return f"C.input_variable({shape}{sparse}{rest})"
        if len(axes) == 2:
            axis = "" if axes[1].short == "*" else f", sequence_axis=C.Axis({in_python(axes[1].name)})"
            return f"C.sequence.input_variable({shape}{sparse}{axis}{rest})"
        return f"C.input_variable({shape}{sparse}, dynamic_axes=[]{rest})"

    def read(self, v: Variable) -> str:
        """The expression by which a value is read; what is being chained is written first."""
        while id(v) in self.alias:
            v = self.alias[id(v)]
        if self.chain and v is self.chain_at:
            self.flush()
        if v.node is None and id(v) not in self.names:
            return self.leaf(v)
        if id(v) not in self.names:
            raise GraphError(
                f"the value of {v.node!r} is part of a loop that no recurrent layer makes",
                fix="open models whose loops are Recurrence or Fold of LSTM, GRU or RNNStep",
            )
        return self.names[id(v)]

    # ---- nodes

    def node(self, node: Node) -> None:
        """Write one node: a recurrent layer, a layer, an operator, or what is inside of a block."""
        if id(node) in self.names or (node.op.name in ("_past_value", "_future_value") and self._in_loop(node)):
            return
        if node.op.name == "combine" or all(o.node is not node for o in node.outputs):
            return
        if node.op.kind == "user":
            raise GraphError(f"{node.op_name} is an operator of the user's, which no program of layers has")
        found = self.recurrence(node) or layer_code.layer(node)
        if found is not None:
            text, weights, inner, operands = found
            states = inner is not None and any(self.uses.get(id(o)) for o in node.outputs[1:])
            text = text.replace("\x02", ", return_full_state=True" if states else "")
            item = self.marked(weights, text) if inner is None else self.marked([], text).replace(
                "\x01", self.marked(weights, "")
            )  # fmt: skip
            key = tuple(id(v) for v in layer_code.own(node))
            if key in self.shared:
                item = self.layer_variable(key, node, item)
            self.layer(node, item, operands, whole=inner is None or states)
            return
        use = layer_code.operator(node)
        if use is None and node.block is not None and node.block.built and node.op.name == "as_block":
            self.inside(node)
            return
        self.operator(node, use or node)

    def layer(self, node: Node, item: str, operands: Sequence[Variable], *, whole: bool) -> None:
        """A layer applied to its operands: an item of a chain where it has one operand and one output that counts."""
        if len(operands) == 1 and (len(node.outputs) == 1 or not whole):
            self.item(node, item, operands[0])
            return
        reads = [self.read(v) for v in operands]
        if self.chain:
            self.flush()
        self.statement(node, f"{item}({', '.join(reads)})")

    def layer_variable(self, key: tuple[int, ...], node: Node, item: str) -> str:
        """The variable of a layer that is applied more than once."""
        if not self.shared[key]:
            self.shared[key] = self.fresh(f"{node.name or node.op_name}_layer")
            self.lines.append(f"{self.shared[key]} = {item}")
        return self.shared[key]

    def item(self, node: Node, text: str, operand: Variable) -> None:
        """A layer of one operand: joined to the chain, if it goes on from there and nobody else reads it."""
        while id(operand) in self.alias:
            operand = self.alias[id(operand)]
        output = node.outputs[0]
        if self.chain and operand is self.chain_at and self.uses.get(id(operand), 0) == 1:
            self.chain.append(text)
            self.chain_at = output
            return
        start = self.read(operand)
        if self.chain:
            self.flush()
        self.chain, self.chain_from, self.chain_at = [text], start, output

    def flush(self) -> None:
        """Write the chain as a statement."""
        assert self.chain_at is not None
        name = self.fresh(self.chain_at.name or "h")
        if len(self.chain) == 1:
            function = f"({self.chain[0]})" if self.chain[0].startswith("lambda") else self.chain[0]
            self.lines.append(f"{name} = {function}({self.chain_from})")
        else:
            items = "".join(f"\n{STEP}{t}," for t in self.chain)
            self.lines.append(f"{name} = C.layers.Sequential([{items}\n])({self.chain_from})")
        self.names[id(self.chain_at)] = name
        self.chain, self.chain_at = [], None

    def inside(self, node: Node) -> None:
        """The operators within a block that no layer makes."""
        block = node.block
        assert block is not None
        for p in block.arguments:
            assert p.block_input is not None
            self.alias[id(p)] = p.block_input
        inner_uses = self._count(block.outputs)
        for key, count in inner_uses.items():
            self.uses.setdefault(key, count)
        for p in block.arguments:  # read by what is inside as often as by the block
            self.uses[id(p.block_input)] = self.uses.get(id(p.block_input), 1) + inner_uses.get(id(p), 1)
        for inner in self._ordered(block.outputs):
            if any(o.node is inner for o in inner.outputs):
                self.node(inner)
        for outer, inner_output in zip(node.outputs, block.outputs, strict=True):
            self.alias[id(outer)] = inner_output
            self.uses[id(inner_output)] = self.uses.get(id(inner_output), 0) + self.uses.get(id(outer), 0)

    def operator(self, node: Node, use: Node) -> None:
        """An operator applied to its operands, as a statement or as an item of a chain.

        Args:
            node: where it stands in the graph.
            use: the same as an operator: another node where a file has a block for it.
        """
        entry = _entry(use)
        name = f"name={in_python(node.name)}" if node.name else ""
        extra = _attributes(use, entry)
        operands = list(use.inputs)
        if len(operands) == 1 and not extra and not name and entry.kind == "op" and len(node.outputs) == 1:
            self.item(node, entry.code, operands[0])
            return
        reads = [self.read(v) for v in operands]
        if self.chain:
            self.flush()
        if use.op.name in _INFIX and len(reads) == 2 and not name and not all(r[0] in "-0123456789" for r in reads):
            text = f"{reads[0]} {_INFIX[use.op.name]} {reads[1]}"
        else:
            text = f"{entry.code}({', '.join([*reads, *extra, *([name] if name else [])])})"
        self.statement(node, text, use.op.name)

    def statement(self, node: Node, text: str, title: str = "") -> None:
        """A statement whose variable holds what a node gives."""
        variable = self.fresh(node.name or title or node.op_name)
        self.lines.append(f"{variable} = {text}")
        if len(node.outputs) == 1:
            self.names[id(node.outputs[0])] = variable
        for i, o in enumerate(node.outputs if len(node.outputs) > 1 else ()):
            self.names[id(o)] = f"{variable}[{i}]"


def _entry(node: Node) -> Entry:
    """The catalog's entry of an operator."""
    found = entry_of(node.op.name)
    if found is None:
        raise GraphError(f"operator {node.op_name} has no name in programs", fix="open another part of the model")
    return found


def _attributes(node: Node, entry: Entry) -> list[str]:
    """Attributes that differ from the operator's defaults, as keyword arguments.

    Raises:
        GraphError: if one of them cannot be written in a program.
    """
    assert entry.signature is not None
    out = []
    for name, value in node.attributes.items():
        parameter = entry.signature.parameters.get(name)
        if parameter is None or name in ("seed", "name") or value is None:
            continue
        if parameter.default is not parameter.empty and plain(value) == plain(parameter.default):
            continue
        text = _setting(value)
        if "<" in text:
            raise GraphError(f"{entry.name}: {name}={value!r} cannot be written in a program", fix="keep it as a file")
        out.append(f"{name}={text}")
    return out


def _setting(value: Any) -> str:
    """A setting of an operator as code."""
    if isinstance(value, Axis):
        return str(value.static_axis_index()) if value.is_static_axis else _axis(value)
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_setting(v) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, (type, np.dtype)):
        return in_python(np.dtype(value).name)
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        value = value.item()
    return as_code(int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value)


def _axis(axis: Axis) -> str:
    """An axis that is no single static one."""
    for name in ("all_static_axes", "all_axes", "default_batch_axis", "default_dynamic_axis"):
        if axis == getattr(Axis, name)():
            return f"C.Axis.{name}()"
    return f"C.Axis({in_python(axis.name)})"

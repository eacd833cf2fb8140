"""Lowering: a graph becomes forward steps over buffers.

Blocks are looked through, cycles become loops, values per sample are spread over the frames where they meet sequences.
Formulas stay formulas: fusing them is a later pass. Knows operators only by the facts of their declarations.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from cntk_lab.engine.make.loops import is_loop, parts_in_order, within_a_frame
from cntk_lab.engine.plan import Builder, Call, Contract, Delay, Loop, Phase, RowSymbol, Spread, Step, View, row_symbol
from cntk_lab.engine.plan.formulas import align, aligned_output, axes_of, map_step
from cntk_lab.engine.plan.reference import reference
from cntk_lab.errors import GraphError
from cntk_lab.formula import expr as e
from cntk_lab.formula.simplify import simplify
from cntk_lab.graph import infer, walk
from cntk_lab.graph.asks import apply, needs
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import Trait
from cntk_lab.graph.variable import Constant, Valued, Variable
from cntk_lab.tensor.shape import FREE, Shape, broadcast, size


class Lowering:
    """One lowering.

    Args:
        training: dropout drops, batch normalization uses the minibatch's statistics, and states are updated.
    """

    def __init__(self, *, training: bool) -> None:
        self.builder = Builder()
        self.training = training
        self.buffer_of: dict[int, int] = {}
        self.literals: list[tuple[Variable, int]] = []
        self.finals: list[Step] = []
        """Steps that write constants and parameters after the forward pass."""
        self.assignments: list[Step] = []
        """Steps of that kind that the program wrote itself: they also wait for the backward pass, if there is one."""
        self._outer: list[Step] | None = None
        """Inside of a loop that is being built: the steps around it."""
        self._widened: list[tuple[int, int, Shape]] = []
        """States of that loop that the initial state broadcasts: as computed, as delayed, and the shape of that."""

    # ---- the graph

    def lower(self, roots: Iterable[Variable]) -> None:
        """Add the steps that compute ``roots``."""
        roots = list(roots)
        check_complete(roots)
        parts = parts_in_order(roots)
        for node in itertools.chain.from_iterable(parts):
            for _, variable in self._updated(node):
                variable.storage.will_move()
        for part in parts:
            if is_loop(part):
                self._loop(part)
            else:
                self._node(part[0])
        for root in roots:
            self.value(root)

    def value(self, variable: Variable) -> int:
        """The buffer that holds a variable."""
        variable = walk.resolve(variable)
        found = self.buffer_of.get(id(variable))
        if found is not None:
            return found
        t = variable.type
        if isinstance(variable, Valued) and variable.follows is not None:
            return self._following(variable, variable.follows)
        role = {"Input": "input", "Parameter": "parameter", "Constant": "constant"}.get(variable.kind)
        if role is None:
            raise GraphError(f"{variable} has no value", fix="replace placeholders before computing")
        number = self.builder.new(
            row_symbol(t.axes or ()),
            t.dims,
            t.dtype or "float32",
            role,
            variable.name or variable.uid,
            sparse=t.sparse,
            variable=variable,
        )
        self.buffer_of[id(variable)] = number
        return number

    def _following(self, variable: Valued, followed: Valued) -> int:
        """The buffer of numbers in another element type than those that they are."""
        source = self.value(followed)
        number = self.builder.new("", variable.type.dims, variable.type.dtype or "float32", name=variable.name)
        step = map_step(self.builder, {number: e.input_(reference(source))}, [source])
        (self.builder.steps if self._outer is None else self._outer).append(step)
        self.buffer_of[id(variable)] = number
        return number

    def _output(self, node: Node, index: int = 0) -> int:
        """The buffer of a node's output (reserved before if a delay reads it around a cycle)."""
        variable = node.outputs[index]
        found = self.buffer_of.get(id(variable))
        if found is not None:
            return found
        t = variable.type
        number = self.builder.new(
            row_symbol(t.axes or ()), t.dims, t.dtype or "float32", name=variable.name, sparse=t.sparse
        )
        self.buffer_of[id(variable)] = number
        return number

    def _loop(self, part: list[Node]) -> None:
        order = within_a_frame(part)
        rows = row_symbol(part[0].outputs[0].type.axes or ())
        outer, self.builder.steps = self.builder.steps, []
        self._outer = outer
        for node in order:
            if node.op.has(Trait.RECURRENT):
                source = walk.resolve(node.inputs[0])
                if source.node is not None:
                    self._output(source.node, source.index)
        self._widened = []
        for node in order:
            self._node(node)
        for narrow, wide, dims in self._widened:  # what the next frame reads is made when this frame is complete
            self._widen(narrow, wide, dims)
        body, self.builder.steps, self._outer = self.builder.steps, outer, None
        reverse = any(isinstance(s, Delay) and s.offset < 0 for s in body)
        self.builder.emit(loop_of(body, rows, reverse=reverse, nodes=tuple(n.uid for n in part)))

    # ---- one node

    def _node(self, node: Node) -> None:
        op = node.op
        if not node.outputs or op.has(Trait.STRUCTURAL) or self._has_layout(node):
            self._structural(node)
        elif (
            op.has(Trait.VIEW)
            and node.outputs[0].type.dims.count(FREE) < 2
            and node.inputs[0].type.dims.count(FREE) < 2
        ):
            self.builder.emit(View((self.value(node.inputs[0]),), (self._output(node),), (node.uid,)))
        elif op.has(Trait.RECURRENT):
            self._delay(node)
        elif op.contraction is not None:
            self._contract(node)
        elif op.formula is not None or (op.inference is not None and not self.training):
            self._map(node)
        else:
            self._call(node)
        if self._updated(node):
            self._updates(node)

    def _has_layout(self, node: Node) -> bool:
        """Whether an operator is to give its operand a layout that it already has."""
        if not node.op.has(Trait.LAYOUT_LIKE):
            return False
        return self.builder.buffers[self.value(node.inputs[0])].rows == row_symbol(node.outputs[0].type.axes or ())

    def _structural(self, node: Node) -> None:
        if len(node.outputs) != 1 or node.outputs[0].node is not node:
            return
        source = self.value(node.inputs[0])
        if node.op.has(Trait.STOPS_GRADIENT) or id(node.outputs[0]) in self.buffer_of:
            target = self._output(node)
            self.builder.emit(View((source,), (target,), (node.uid,), stops=node.op.has(Trait.STOPS_GRADIENT)))
        else:
            self.buffer_of[id(node.outputs[0])] = source

    def spread(self, number: int, rows: RowSymbol) -> int:
        """A buffer with the rows wanted: per-sample values are repeated for every frame, others stay."""
        b = self.builder.buffers[number]
        if b.rows in ("", rows):
            return number
        target = self.builder.new(rows, b.shape, b.dtype, name=b.name, sparse=b.sparse)
        step = Spread((number,), (target,), rows=rows)
        # what is spread never depends on the loop that is being built: it is done once, before it
        (self.builder.steps if self._outer is None else self._outer).append(step)
        return target

    def _operands(self, node: Node, rows: RowSymbol | None = None) -> list[int]:
        numbers = [self.value(v) for v in node.inputs]
        if node.op.has(Trait.NEEDS_LAYOUT):
            return numbers
        rows = self.widest(numbers) if rows is None else rows
        spread = [self.spread(n, rows) for n in numbers]
        if node.op.views is None:
            return spread
        shapes = apply(node.op.views, self._scope(node))
        return [self.view(n, shapes.get(name)) for n, name in zip(spread, _read_names(node), strict=True)]

    def view(self, number: int, shape: Shape | None) -> int:
        """The same numbers under another static shape (parameters of one axis that belong to the first of several)."""
        b = self.builder.buffers[number]
        if shape is None or b.shape == shape:
            return number
        target = self.builder.new(b.rows, shape, b.dtype, name=b.name)
        self.builder.emit(View((number,), (target,)))
        return target

    def widest(self, numbers: Iterable[int]) -> RowSymbol:
        """The row symbol with the most dynamic axes among buffers."""
        return max((self.builder.buffers[n].rows for n in numbers), key=lambda r: r.count(",") + bool(r), default="")

    def _delay(self, node: Node) -> None:
        target = self._output(node)
        reads = [self.value(v) for v in node.inputs]
        rows, dims = self.builder.buffers[target].rows, self.builder.buffers[target].shape
        narrow = self.builder.buffers[reads[0]]
        if narrow.shape != dims:  # the initial state has more axes, or longer ones
            reads[0] = self.builder.new(narrow.rows, dims, narrow.dtype, name=narrow.name)
            if self._outer is None:
                self._widen(narrow.id, reads[0], dims)
            else:
                self._widened.append((narrow.id, reads[0], dims))
        self.builder.emit(
            Delay(tuple(reads), (target,), (node.uid,), offset=node.resolved["offset"], rows=rows, key=node.uid)
        )

    def _widen(self, narrow: int, wide: int, dims: Shape) -> None:
        """A step that broadcasts the numbers of one buffer over the static shape of another."""
        if size(self.builder.buffers[narrow].shape) == size(dims):
            self.builder.emit(View((narrow,), (wide,)))
            return
        like = self.value(Constant(0, shape=dims, dtype=self.builder.buffers[wide].dtype))
        self.builder.emit(
            map_step(self.builder, {wide: e.input_(reference(narrow)) + e.input_(reference(like))}, [narrow, like])
        )

    def _contract(self, node: Node) -> None:
        reads = self._operands(node)
        target = self._output(node)
        assert node.op.contraction is not None
        spec = apply(node.op.contraction, self._scope(node))
        x, y = (self.builder.buffers[r] for r in reads)
        if spec.sizes["a"] == spec.sizes["o"] == 1 and x.rows and y.rows and not (x.sparse or y.sparse):
            # one number per row: a formula, which fuses with its neighbours
            rank = max(len(x.shape), len(y.shape))
            domain, other = ((1,) * (rank - len(b.shape)) + b.shape for b in (x, y))
            if FREE not in domain and domain == other and size(domain) == spec.sizes["k"]:
                dot = e.input_(reference(reads[0])) * e.input_(reference(reads[1]))
                total = e.reduce("sum", dot, range(-len(domain), 0))
                self.builder.emit(map_step(self.builder, {target: total}, reads, (node.uid,)))
                return
        self.builder.emit(Contract(tuple(reads), (target,), (node.uid,), spec=spec, rows=self.widest(reads)))

    def _scope(self, node: Node) -> dict[str, Any]:
        return {**infer.scope_of(node, node.types), **node.resolved}

    def _map(self, node: Node) -> None:
        rule = node.op.formula
        if not self.training and node.op.inference is not None:
            rule = node.op.inference
        assert rule is not None
        reads = self._operands(node)
        exprs = [self.operand_expr(n, v) for n, v in zip(reads, node.inputs, strict=True)]
        scope = {**node.attributes, **node.resolved, **_by_name(node, exprs), "training": self.training}
        formulas = apply(rule, scope)
        outputs = simplify(formulas if isinstance(formulas, tuple) else (formulas,))
        if (
            len(outputs) == 1
            and outputs[0] is exprs[0]
            and outputs[0].op == "input"
            and id(node.outputs[0]) not in self.buffer_of
        ):
            self.buffer_of[id(node.outputs[0])] = reads[0]  # the operator passes its operand through
            return
        finals = [self._output(node, i) for i in range(len(node.outputs))]
        targets = [self._in_domain(f, formula, reads) for f, formula in zip(finals, outputs, strict=True)]
        step = map_step(self.builder, dict(zip(targets, outputs, strict=True)), reads, nodes=(node.uid,))
        step.op, step.scope = node.op, {**node.attributes, **node.resolved, **_by_name(node, exprs)}
        self.builder.emit(step)
        for final, target in zip(finals, targets, strict=True):
            if final != target:
                self.builder.emit(View((target,), (final,), (node.uid,)))

    def _in_domain(self, number: int, formula: e.Expr, reads: list[int]) -> int:
        """The buffer that a formula writes: the output itself, or one that lies in the domain if the output drops axes.

        A value whose reduced axes are gone is not aligned with the domain at its last axis, so formulas could not
        read its gradient; it is written with those axes at length 1 and then viewed under its own shape.
        """
        buffers = self.builder.buffers
        b = buffers[number]
        if not reads:
            return number
        domain = broadcast(*(buffers[r].shape for r in reads))
        varies = axes_of(formula, {reference(r): buffers[r] for r in reads}, len(domain))
        lies = aligned_output(b.shape, domain, varies)
        if lies == align(b.shape, len(domain)):
            return number
        return self.builder.new(b.rows, lies, b.dtype, name=b.name)

    def operand_expr(self, number: int, variable: Variable | None = None) -> e.Expr:
        """A buffer in a formula; a number written in the program stands there itself, if no program moves it."""
        variable = None if variable is None else walk.resolve(variable)
        if isinstance(variable, Valued) and variable.follows is not None:
            variable = variable.follows
        if (
            isinstance(variable, Constant)
            and variable.type.shape == ()
            and variable.is_initialized()
            and not variable.storage.moves
        ):
            self.literals.append((variable, variable.storage.version))
            return e.const(float(variable.value))
        return e.input_(reference(number))

    def _call(self, node: Node) -> None:
        op = node.op
        assert op.forward is not None
        reads = self._operands(node)
        targets = [self._output(node, i) for i in range(len(node.outputs))]
        first = self.builder.buffers[targets[0]]
        saved = [
            self.builder.new(first.rows, first.shape if op.saved_alike else (FREE,), first.dtype, name=f"{op.name}.{s}")
            for s in op.saved
        ]
        names = tuple(_read_names(node))
        scope = {**node.attributes, **node.resolved}
        wanted = needs(op.forward)
        kept = [(r, n) for r, n in zip(reads, names, strict=True) if n.split(".")[0] in wanted]
        step = Call(
            tuple(r for r, _ in kept),
            (*targets, *saved),
            (node.uid,),
            op=op,
            rule=op.forward,
            role="forward",
            names=tuple(n for _, n in kept),
            scope={**scope, "_all": tuple(zip(names, reads, strict=True))},
            rows=self.widest(reads) if reads else first.rows,
            key=node.uid,
        )
        if self._outer is not None and op.has(Trait.NEEDS_LAYOUT) and not self._is_made_inside(step.reads):
            # where the sequences of a loop lie is known before it: this is computed once, for all frames
            self._outer.append(step)
        else:
            self.builder.emit(step)

    def _is_made_inside(self, numbers: Iterable[int]) -> bool:
        """Whether one of these buffers is written by the loop that is being built."""
        return not {w for s in self.builder.steps for w in s.writes}.isdisjoint(numbers)

    def _updated(self, node: Node) -> list[tuple[str, Valued]]:
        """The parameters and constants that an operator writes, by the names of its rules.

        Raises:
            GraphError: if it is to write something else.
        """
        if not node.op.updates or not (self.training or node.op.has(Trait.STATEFUL)):
            return []
        by_name = dict(zip(_read_names(node), map(walk.resolve, node.inputs), strict=True))
        found: list[tuple[str, Valued]] = []
        for name in node.op.updates:
            variable = by_name[name]
            if not isinstance(variable, Valued):
                raise GraphError(
                    f"{node.op_name}: '{name}' must be a parameter or constant, to be written", infer.where_of(node)
                )
            found.append((name, variable))
        return found

    def _updates(self, node: Node) -> None:
        """Steps after the forward pass that write what the operator keeps."""
        reads = self._operands(node)
        exprs = [e.input_(reference(n)) for n in reads]
        scope = {**node.attributes, **node.resolved, **_by_name(node, exprs), "training": True}
        read_as = dict(zip(_read_names(node), reads, strict=True))
        for name, variable in self._updated(node):
            number = read_as[name]
            (formula,) = simplify((apply(node.op.updates[name], scope),))
            written = self.value(variable)
            step = map_step(self.builder, {written: formula}, [*reads, number], nodes=(node.uid,))
            own = node.op.has(Trait.STATEFUL)
            step.phase = Phase.ASSIGN if own else Phase.KEEP
            (self.assignments if own else self.finals).append(step)


def _read_names(node: Node) -> Iterable[str]:
    """The rule parameter that each operand is: its name, or ``name.i`` for the operands of a variadic one."""
    operands = node.op.operands
    for i in range(len(node.inputs)):
        p = operands[min(i, len(operands) - 1)]
        yield f"{p.name}.{i - len(operands) + 1}" if p.variadic else p.name


def _by_name(node: Node, exprs: list[e.Expr]) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    for name, x in zip(_read_names(node), exprs, strict=True):
        base, _, index = name.partition(".")
        if index:
            scope.setdefault(base, []).append(x)
        else:
            scope[base] = x
    return scope


def loop_of(body: list[Step], rows: RowSymbol, *, reverse: bool, nodes: tuple[str, ...] = ()) -> Loop:
    """A loop step around a body: what it reads from outside, and everything it writes."""
    written = [w for s in body for w in s.writes]
    inside = set(written)
    reads = tuple(dict.fromkeys(r for s in body for r in s.reads if r not in inside))
    return Loop(reads, tuple(written), nodes, body=body, rows=rows, reverse=reverse)


def check_complete(roots: Iterable[Variable]) -> None:
    """Check that shapes, axes and placeholders below ``roots`` are all known.

    Raises:
        GraphError: naming what is missing.
    """
    roots = list(roots)
    found = list(walk.nodes(roots))
    unknown = [
        o for n in found for o in n.outputs if o.type.shape is None or o.type.axes is None or o.type.dtype is None
    ]
    if unknown:
        infer.infer_nodes(found)
    for node in walk.flat_nodes(roots):
        if any(isinstance(v, Valued) and v.was_open for v in node.inputs):
            infer.confirm(node)
    for leaf in walk.flat_leaves(roots):
        if leaf.is_placeholder:
            raise GraphError(
                f"placeholder '{leaf.name or leaf.uid}' is not replaced: the graph cannot be computed",
                fix="call replace_placeholders, or apply the function to inputs",
            )
    for o in unknown:
        if o.type.shape is None or o.type.axes is None:
            assert o.node is not None
            raise GraphError(
                f"the shape of {o} is not known",
                infer.where_of(o.node),
                "give its operands full shapes and dynamic axes",
            )

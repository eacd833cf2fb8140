"""Candidates for values that do not fit each other: shapes, sequence axes, element types, numbers of operands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from cntk_lab.composer._catalog import as_code
from cntk_lab.composer._edits import Edit
from cntk_lab.composer._finder import Candidate, Finder
from cntk_lab.composer._source import Splice
from cntk_lab.composer._trace import shape_words


class ShapeFixes(Finder):
    """Problems between a layer and what it is given."""

    def shape(self) -> Iterator[Candidate]:
        """Shapes that do not fit: parameters that fit, a layer in between that makes them fit."""
        shapes = [s for s in self.problem.facts.get("shapes", ()) if isinstance(s, tuple)]  # type: ignore[attr-defined]
        yield from self._fitting_arguments(shapes)
        yield from self._before_item(shapes)
        yield from self._between(shapes)
        yield from self._fitting_parameters(shapes)
        yield from self.value()

    def _fitting_arguments(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        call, entry = self.call, self.entry
        if call is None or entry is None or not shapes or entry.signature is None:
            return
        shape, given = shapes[-1], self.arguments()
        names = set(entry.signature.parameters)
        if "filter_shape" in given and "reduction_rank" in names:
            yield self.argument("reduction_rank", "0", "the input has no channels: reduction_rank=0")
        if "pad" in names:
            yield self.argument("pad", "True")
        if "filter_shape" in given and shape:
            window = shape[1:] if len(shape) > 1 else shape
            text = self.program.text(given["filter_shape"])
            rank = text.count(",") + (not text.rstrip(")").endswith(",")) if "," in text else 1
            for size in dict.fromkeys((min((*window, 3)), min((*window, 2)), 1)):
                yield self.argument("filter_shape", as_code((size,) * max(rank, 1)))
            if entry.name in ("MaxPooling", "AveragePooling"):
                yield self.argument("filter_shape", as_code((min(2, min(window, default=1)),) * max(len(window), 1)))
        total = 1
        for d in shape:
            total *= max(d, 1)
        if entry.name == "reshape":
            yield self.argument("shape", as_code((total,)))
            yield self.argument("shape", as_code((-1,)))
        if "axis" in given:
            for axis in ("-1", "0", "1"):
                yield self.argument("axis", axis)
        if entry.name == "transpose":
            yield self.argument("perm", as_code(tuple(range(len(shape)))[::-1]))
        if entry.name == "slice":
            for number in range(len(shape)):
                yield self.argument("axis", str(number))
            yield self.argument("end_index", "0")
            yield self.argument("begin_index", "0")

    def _between(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """A layer on an edge into the problem's node that makes its value fit the other operands."""
        node = self.problem.node
        operands = self.editor.operands(node) if node in self.state.trace.nodes else []
        known = {len(s) for s in shapes}
        for i, expression in enumerate(operands):
            start, end = self.lines.span(expression)
            for j, target in enumerate(shapes):
                if i != j and len(operands) == len(shapes) and target and all(d > 0 for d in target):
                    what = as_code(target if len(target) > 1 else target[0])
                    label = f"a Dense layer that makes it {shape_words(target)}"
                    yield label, Edit([Splice(start, start, f"C.layers.Dense({what})("), Splice(end, end, ")")])
            if known and isinstance(self.site.node if self.site else None, ast.Call):
                yield from self._reshaped(start, end, shapes[min(i, len(shapes) - 1)])
        if node.endswith("+") and self.call is not None and self.call.args:
            yield from self._shortcut(shapes)
        yield from self._before_item(shapes)
        for i, target in enumerate(shapes):
            others = [s for k, s in enumerate(shapes) if k != i]
            yield from self._last_layer_before(target, others)

    def _reshaped(self, start: int, end: int, shape: tuple[int, ...]) -> Iterator[Candidate]:
        total = 1
        for d in shape:
            total *= max(d, 1)
        for new in ((1, *shape), (1, 1, *shape), (total,), (1, total), (1, 1, total)):
            if len(new) != len(shape) or new == (total,):
                text = as_code(new)
                yield (
                    f"reshape it to {shape_words(new)}",
                    Edit([Splice(start, start, "C.reshape("), Splice(end, end, f", {text})")]),
                )

    def _shortcut(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """The last layer within a shortcut gives what enters the shortcut."""
        assert self.call is not None
        inner = self.call.args[0]
        target = shapes[-1] if len(shapes) > 1 else ()
        for layer in [n for n in ast.walk(inner) if isinstance(n, ast.Call)]:
            text = as_code(target[0] if len(target) == 1 else target)
            if layer.args and ast.unparse(layer.func).endswith("Dense"):
                start, end = self.lines.span(layer.args[0])
                yield f"{text} units", Edit([Splice(start, end, text)])
            if len(layer.args) > 1 and "Convolution" in ast.unparse(layer.func) and target:
                start, end = self.lines.span(layer.args[1])
                yield f"{target[0]} filters", Edit([Splice(start, end, str(target[0]))])
                yield f"{target[0]} filters, padded", Edit([Splice(start, end, f"{target[0]}, pad=True")])
        start, end = self.lines.span(inner)
        if target:
            what = as_code(target[0] if len(target) == 1 else target)
            yield (
                f"a Dense layer that makes it {shape_words(target)}",
                Edit([Splice(start, start, "C.layers.Sequential(["), Splice(end, end, f", C.layers.Dense({what})])")]),
            )

    def _before_item(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """An item of a list: a layer in front of it that gives its operand another shape."""
        place = self.editor.list_of(self.site) if self.site is not None else None
        if place is None or not shapes:
            return
        total = 1
        for d in shapes[-1]:
            total *= max(d, 1)
        shape = shapes[-1]
        side = round(total**0.5)
        squares = [(1, side, side)] if side * side == total and side > 1 else []
        title = self.entry.name if self.entry is not None else ""
        wanted = int(title[-2]) + 1 if re.search(r"[123]D$", title) else 0  # axes that the layer takes
        found = [(1, *shape), *squares, (1, 1, *shape), (total,)]
        for new in sorted(found, key=lambda s: len(s) != wanted) if wanted else found:
            if new == shape:
                continue
            text = f"lambda x: C.reshape(x, {as_code(new)})"
            yield f"reshape to {shape_words(new)} before it", self.editor.insert_item(place[0], place[1], text)

    def _last_layer_before(self, target: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """The layer that made an operand, with as many outputs as the other operands have."""
        del target
        sources = [str(s) for s in self.problem.facts.get("sources", ())]  # type: ignore[attr-defined]
        for source, want in [(s, w) for s in sources for w in others]:
            node = self.state.trace.nodes.get(source)
            if node is None or node.path != "layers.Dense" or not want:
                continue
            site = self.program.by_id.get(node.site)
            if site is not None and isinstance(site.node, ast.Call) and site.node.args:
                start, end = self.lines.span(site.node.args[0])
                text = as_code(want[0] if len(want) == 1 else want)
                yield f"{text} units in the layer before", Edit([Splice(start, end, text)])

    def _fitting_parameters(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """A parameter among the operands whose shape was written by hand: with inferred or fitting dimensions."""
        sources = [str(s) for s in self.problem.facts.get("sources", ())]  # type: ignore[attr-defined]
        for i, source in enumerate(sources):
            node = self.state.trace.nodes.get(source)
            if node is None or node.kind not in ("parameter", "constant", "input") or i >= len(shapes):
                continue
            site = self.program.by_id[node.site]
            shape = shapes[i]
            if not isinstance(site.node, ast.Call) or not site.node.args:
                continue
            start, end = self.lines.span(site.node.args[0])
            others = [s for k, s in enumerate(shapes) if k != i]
            options: list[tuple[int, ...]] = []
            for other in others:
                if node.kind == "parameter" and len(shape) > 1:
                    options.append((*other, *shape[1:]))
                options.append(other)
            for option in options:
                text = as_code(option if len(option) != 1 else option[0])
                yield f"shape {shape_words(option)}", Edit([Splice(start, end, text)])

    def axes(self) -> Iterator[Candidate]:
        """Sequences where none should be, or none where one should be."""
        found = [a for a in self.problem.facts.get("axes", ()) if isinstance(a, tuple)]  # type: ignore[attr-defined]
        node = self.problem.node
        operands = self.editor.operands(node) if node in self.state.trace.nodes else []
        texts = [self.program.text(o) for o in operands]
        for i, o in enumerate(operands):
            start, end = self.lines.span(o)
            for other in (t for k, t in enumerate(texts) if k != i):
                yield (
                    "give both the same sequence axis",
                    Edit([Splice(start, start, "C.reconcile_dynamic_axes("), Splice(end, end, f", {other})")]),
                )
            if i < len(found) and len(found[i]) > 1:
                yield "take the last frame", Edit([Splice(start, start, "C.sequence.last("), Splice(end, end, ")")])
        place = self.editor.list_of(self.site) if self.site is not None else None
        if place is not None and found and len(found[-1]) > 1:
            yield "take the last frame before it", self.editor.insert_item(place[0], place[1], "C.sequence.last")
        yield from self._sequence_inputs()
        yield from self._before_item([s for s in self.problem.facts.get("shapes", ()) if isinstance(s, tuple)])  # type: ignore[attr-defined]
        yield from self.shape()

    def _sequence_inputs(self) -> Iterator[Candidate]:
        for n in self.state.trace.nodes.values():
            if n.path == "input_variable":
                site = self.program.by_id[n.site]
                if isinstance(site.node, ast.Call):
                    start, end = self.lines.span(site.node.func)
                    yield (
                        f"make {n.name or 'the input'} a sequence",
                        Edit([Splice(start, end, "C.sequence.input_variable")]),
                    )

    def dtype(self) -> Iterator[Candidate]:
        """Element types that differ."""
        for n in self.state.trace.nodes.values():
            site = self.program.by_id.get(n.site)
            if "dtype" in n.attributes and site is not None and isinstance(site.node, ast.Call):
                keyword = next((k for k in site.node.keywords if k.arg == "dtype"), None)
                if keyword is not None:
                    yield "one element type", Edit([self.editor._cut_argument(site.node, *self.lines.span(keyword))])
        for o in self.editor.operands(self.problem.node) if self.problem.node in self.state.trace.nodes else []:
            start, end = self.lines.span(o)
            yield "cast it", Edit([Splice(start, start, "C.cast("), Splice(end, end, ', "float32")')])

    def operands(self) -> Iterator[Candidate]:
        """A function with too many or too few operands."""
        for o in reversed(
            self.editor.operands(self.problem.node) if self.problem.node in self.state.trace.nodes else []
        ):
            whole = self.editor.whole(self.problem.node).node
            if isinstance(whole, ast.Call) and len(whole.args) > 1:
                text = self.program.text(o).split("\n", 1)[0]
                cut = self.editor._cut_argument(whole, *self.lines.span(o))
                yield f"delete the operand {text[:40]}", Edit([cut], destroys=text)
        whole_ = self.editor.whole(self.problem.node).node if self.problem.node in self.state.trace.nodes else None
        if isinstance(whole_, ast.Call):
            at = self._end_of_arguments(whole_)
            for flow in self.named_flows()[:3]:
                yield f"give it {flow} too", Edit([Splice(at, at, f", {flow}" if whole_.args else flow)])
        if self.call is not None and self.entry is not None and self.entry.name in ("LSTM", "GRU", "RNNStep"):
            yield self.replace(f"C.layers.Recurrence({self.program.text(self.call)})", "apply the cell to a sequence")
        if self.site is not None and isinstance(self.site.node, (ast.Name, ast.Attribute)):
            yield self.replace(f"lambda x: {self.program.text(self.site.node)}(x, x)", "use the value twice")
        yield from self.value()

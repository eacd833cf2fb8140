"""Commands of the composer as edits of the program text.

Every command gives edits that replace one stretch of text; statements it does not mean stay as the user wrote them,
with their comments and line breaks. Knows the text and what was drawn of it; builds nothing.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cntk_lab.composer._catalog import CELLS, Entry, catalog
from cntk_lab.composer._forms import Field, expression, understood
from cntk_lab.composer._new_code import Code, written
from cntk_lab.composer._program import Program
from cntk_lab.composer._source import Site, Splice
from cntk_lab.composer._trace import Drawn, Trace
from cntk_lab.errors import AttributeValueError, GraphError

STEP: Final = "    "
LONGEST_LINE: Final = 110

EMPTY: Final = '''"""A model composed in CNTK Lab."""

import cntk_lab as C

features = C.input_variable(10, name="features")
model = C.layers.Sequential([
])(features)
'''
"""The program that a new composer begins with."""


@dataclass
class Edit:
    """What a command does to the text."""

    splices: list[Splice]
    hints: dict[str, int] = field(default_factory=dict)
    """Id of a place that is moved -> where it begins in the text after."""
    look_at: int = -1
    """A place in the text after, at which what was added stands."""
    label: str = ""
    destroys: str = ""
    """What of the user's work it takes away, in words; "" if nothing."""


class Editor:
    """Makes edits for one state of a program.

    Args:
        program: the program.
        trace: what it draws.
    """

    def __init__(self, program: Program, trace: Trace) -> None:
        self.program, self.trace = program, trace
        self.source, self.lines = program.source, program.lines

    # ---- finding

    def drawn(self, uid: str) -> Drawn:
        """The drawn node of an id; ids of repetitions and second applications stand for their place.

        Raises:
            GraphError: if there is none.
        """
        node = self.trace.nodes.get(uid)
        if node is None:
            site = re.split(r"[~@/+]", uid)[0]
            node = next((n for n in self.trace.nodes.values() if n.site == site), None)
        if node is None and uid in self.program.by_id:
            return Drawn(uid, uid, "", "function", None)
        if node is None:
            raise GraphError(f"there is no node {uid!r}", fix="ids are those of composer.nodes")
        return node

    def site(self, uid: str) -> Site:
        """The place of a drawn node."""
        return self.program.by_id[self.drawn(uid).site]

    def whole(self, uid: str) -> Site:
        """The place of the application, where a node is applied; else that of the node."""
        node = self.drawn(uid)
        return self.program.by_id[node.application or node.site]

    def list_of(self, site: Site) -> tuple[ast.List | ast.Tuple, int] | None:
        """The list of layers that a place is an element of, and which."""
        outer = site.parent
        if outer is not None and isinstance(outer.node, (ast.List, ast.Tuple)):
            owner = outer.parent
            if isinstance(outer.node, ast.Tuple) and not (owner and isinstance(owner.node, ast.List)):
                return None
            for i, e in enumerate(outer.node.elts):
                if e is site.node:
                    return outer.node, i
        return None

    def items_of(self, site: Site) -> ast.List | None:
        """The list of layers within a Sequential or a clique at a place."""
        if isinstance(site.node, ast.Call) and site.node.args and isinstance(site.node.args[0], ast.List):
            return site.node.args[0]
        return None

    def name_of(self, uid: str) -> str | None:
        """The variable that holds a node's value, if its statement is just that."""
        whole = self.whole(uid)
        s = self.program.statement_of(whole)
        if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) and s.value is whole.node:
            return s.targets[0].id
        return self._name_of_list(self.site(uid))

    def _name_of_list(self, site: Site) -> str | None:
        """The variable that holds what a Sequential gives, for its last item."""
        place = self.list_of(site)
        owner = site.parent.parent if place is not None and site.parent is not None else None
        if place is None or owner is None or place[1] + 1 < len(place[0].elts) or isinstance(place[0], ast.Tuple):
            return None
        if not isinstance(owner.node, ast.Call) or not ast.unparse(owner.node.func).endswith("Sequential"):
            return None
        call = owner.parent
        if call is None or not isinstance(call.node, ast.Call) or call.node.func is not owner.node:
            return self._name_of_list(owner)
        s = self.program.statement_of(call)
        if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) and s.value is call.node:
            return s.targets[0].id
        return None

    # ---- adding

    def insert(self, maker: str, after: str | None = None, before: str | None = None, into: str | None = None) -> Edit:
        """Put the text of a layer behind, before or into something.

        Raises:
            GraphError: if there is nothing to put it to.
        """
        into_recurrence = into is not None and self.drawn(into).op in ("Recurrence", "Fold")
        if not into_recurrence and maker.startswith(tuple(f"C.layers.{cell}(" for cell in CELLS)):
            maker = f"C.layers.Recurrence({maker})"
        if into is not None:
            items = self.items_of(self.site(into))
            if items is None:
                return self._wrap(into, maker)
            return self.insert_item(items, len(items.elts), maker)
        anchor = after or before
        if anchor is None:
            return self._append(maker)
        place = self.list_of(self.site(anchor))
        if place is not None:
            return self.insert_item(place[0], place[1] + (after is not None), maker)
        if before is not None:
            return self._wrap_operand(anchor, maker)
        node = self.drawn(anchor)
        entry = catalog().get(node.path)
        if entry is not None and entry.kind == "leaf":
            return self._behind_leaf(anchor, maker)
        return self._wrap(anchor, maker)

    def insert_between(self, target: str, port: int, maker: str) -> Edit:
        """Put the text of a layer on the way into a node's operand: other readers of the value keep it.

        Raises:
            GraphError: if the operand is not written at the node.
        """
        place = self.list_of(self.site(target))
        if place is not None:
            return self.insert_item(place[0], place[1], maker)
        operands = self.operands(target)
        if port < len(operands):
            return self._around(operands[port], maker)
        outer = self.drawn(target).parent
        if outer is not None and self.operands(outer):
            return self._around(self.operands(outer)[0], maker)
        raise GraphError("the value comes from within a layer", fix="add it behind the node that gives the value")

    def _append(self, maker: str) -> Edit:
        found = self.program.output()
        if found is None or not isinstance(found[1], ast.Assign):
            raise GraphError("the program makes no model yet", fix="write model = C.layers.Sequential([])(features)")
        value = found[1].value
        function = value.func if isinstance(value, ast.Call) and isinstance(value.func, ast.Call) else value
        if isinstance(function, ast.Call) and ast.unparse(function.func).endswith("Sequential"):
            first = function.args[0] if function.args else None
            if isinstance(first, ast.List) and not function.keywords:
                return self.insert_item(first, len(first.elts), maker)
        return self._around(value, maker)

    def _around(self, value: ast.expr, maker: str) -> Edit:
        start, end = self.lines.span(value)
        if "\n" in self.source[start:end]:
            return self._around_lines(value, maker)
        opening = f"{_callable(maker)}("
        close = ")"
        return Edit([Splice(start, start, opening), Splice(end, end, close)], look_at=start, label="add")

    def _around_lines(self, value: ast.expr, maker: str) -> Edit:
        """Around an expression of several lines: at the end of its list, or as a line behind its statement."""
        items = self.items_of(self.program.site(value.func)) if (
            isinstance(value, ast.Call) and isinstance(value.func, ast.Call) and not value.func.keywords
            and ast.unparse(value.func.func).endswith("Sequential")
        ) else None  # fmt: skip
        if items is not None:
            return self.insert_item(items, len(items.elts), maker)
        start, end = self.lines.span(value)
        s = self.program.statement_of(self.program.site(value))
        if isinstance(s, ast.Assign) and s.value is value and isinstance(s.targets[0], ast.Name):
            name, at = s.targets[0].id, self.lines.end_of_line(end)
            text = f"\n{self.lines.indent(self.lines.span(s)[0])}{name} = "
            return Edit([Splice(at, at, f"{text}{_callable(maker)}({name})")], look_at=at + len(text), label="add")
        text = f"{_callable(maker)}({ast.unparse(value)})"  # its lines change all together
        return Edit([Splice(start, end, text)], look_at=start, label="add")

    def _wrap(self, uid: str, maker: str) -> Edit:
        return self._around(self.whole(uid).node, maker)

    def _wrap_operand(self, uid: str, maker: str) -> Edit:
        operands = self.operands(uid)
        if not operands:
            raise GraphError("there is nothing before this", fix="add it behind something")
        return self._around(operands[0], maker)

    def _behind_leaf(self, uid: str, maker: str) -> Edit:
        """Behind an input: before its only user, or around the input itself where it is used in several places."""
        name = self.name_of(uid)
        uses = [n for n in ast.walk(self.program.tree)
                if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]  # fmt: skip
        if name is None or len(uses) != 1:
            return self._wrap(uid, maker)
        use = self.program.site(uses[0])
        outer = use.parent
        if outer is not None and isinstance(outer.node, ast.Call) and isinstance(outer.node.func, ast.Call):
            items = self.items_of(self.program.site(outer.node.func))
            if items is not None:
                return self.insert_item(items, 0, maker)
        return self._around(uses[0], maker)

    def insert_item(self, items: ast.List | ast.Tuple, at: int, text: str) -> Edit:
        """Put the text of an element into a list, in the list's own style."""
        start, end = self.lines.span(items)
        inner = self.source[start + 1 : end - 1]
        many_lines = "\n" in inner
        indent = self.lines.indent(start)
        if not items.elts:
            comment = inner.strip()
            if comment:
                here = end - 1 - (len(inner) - len(inner.rstrip()))
                return Edit([Splice(here, here, f"\n{indent}{STEP}{_indented(text, indent + STEP)},")],
                            look_at=here + 1 + len(indent) + len(STEP), label="add")  # fmt: skip
            body = f"\n{indent}{STEP}{_indented(text, indent + STEP)},\n{indent}"
            if isinstance(items, ast.Tuple):
                body = f"{text},"
            if many_lines:  # an empty list over two lines: only a line is added
                line = f"{indent}{STEP}{_indented(text, indent + STEP)},\n"
                at_line = self.lines.end_of_line(start) + 1
                return Edit([Splice(at_line, at_line, line)], look_at=at_line + len(indent) + len(STEP), label="add")
            return Edit(
                [Splice(start + 1, end - 1, body)], look_at=start + 1 + len(body) - len(body.lstrip()), label="add"
            )
        spans = [self.lines.span(e) for e in items.elts]
        if many_lines:
            return self._insert_line(spans, at, text, end)
        if at == 0:
            return Edit([Splice(spans[0][0], spans[0][0], f"{text}, ")], look_at=spans[0][0], label="add")
        here = spans[at - 1][1]
        return Edit([Splice(here, here, f", {text}")], look_at=here + 2, label="add")

    def _insert_line(self, spans: Sequence[tuple[int, int]], at: int, text: str, end: int) -> Edit:
        indent = self.lines.indent(spans[0][0])
        own_line = not self.source[self.lines.start_of_line(spans[0][0]) : spans[0][0]].strip()
        if not own_line:
            indent += STEP
        if at == 0:
            here = spans[0][0]
            return Edit([Splice(here, here, f"{_indented(text, indent)},\n{indent}")], look_at=here, label="add")
        last = spans[at - 1][1]
        limit = spans[at][0] if at < len(spans) else end - 1
        comma = _comma(self.source, last, limit)
        if comma < 0:
            new = f",\n{indent}{_indented(text, indent)}"
            return Edit([Splice(last, last, new)], look_at=last + 2 + len(indent), label="add")
        line_end = self.lines.end_of_line(comma)
        if line_end < limit:  # behind a comment on the same line
            new = f"\n{indent}{_indented(text, indent)},"
            return Edit([Splice(line_end, line_end, new)], look_at=line_end + 1 + len(indent), label="add")
        here = comma + 1
        return Edit([Splice(here, here, f" {_indented(text, indent)},")], look_at=here + 1, label="add")

    def statement(self, name: str, value: str) -> Edit:
        """A new statement before the one that makes the model, or at the end.

        Raises:
            AttributeValueError: if the name is none, or taken.
        """
        if not name.isidentifier() or keyword.iskeyword(name):
            raise AttributeValueError(f"{name!r} is no name for a variable", fix="letters, digits and _")
        taken = {n.id for n in ast.walk(self.program.tree) if isinstance(n, ast.Name)}
        if name in taken:
            raise AttributeValueError(f"the name {name!r} is taken", fix="give another name")
        found = self.program.output()
        if found is None:
            end = len(self.source)
            gap = "" if self.source.endswith("\n") or not self.source else "\n"
            return Edit(
                [Splice(end, end, f"{gap}{name} = {value}\n")], look_at=end + len(gap) + len(name) + 3, label="add"
            )
        start = self.lines.start_of_line(self.lines.span(found[1])[0])
        indent = self.lines.indent(start)
        text = f"{indent}{name} = {value}\n"
        return Edit([Splice(start, start, text)], look_at=start + len(indent) + len(name) + 3, label="add")

    def free_name(self, wanted: str) -> str:
        """A variable name like the one wanted that is not taken."""
        base = re.sub(r"\W+", "_", wanted).strip("_").lower() or "value"
        base = f"_{base}" if base[0].isdigit() or keyword.iskeyword(base) else base
        taken = {n.id for n in ast.walk(self.program.tree) if isinstance(n, ast.Name)}
        names = [base, *(f"{base}_{i}" for i in range(2, len(taken) + 3))]
        return next(n for n in names if n not in taken)

    # ---- changing

    def set_parameter(self, uid: str, name: str, value: Any) -> Edit:
        """Give a parameter another value; None of type ``Code("")`` takes it away.

        Raises:
            GraphError: if the node has no parameters.
            AttributeValueError: if it has none of this name.
        """
        node = self.drawn(uid)
        site = self.program.by_id[node.site]
        entry = catalog().get(node.path)
        if entry is None or entry.signature is None:
            raise GraphError(f"{node.op or 'this'} has no parameters", fix="parameters belong to layers and operators")
        names = list(entry.signature.parameters)
        if name not in names:
            raise AttributeValueError(
                f"{entry.name} has no parameter {name!r}", fix=f"its parameters: {', '.join(names)}"
            )
        field = next((f for f in entry.fields if f.name == name), Field(name, "", False))
        if isinstance(value, Code):
            text = expression(value, field) if value else ""
        else:
            text = understood(field, value) if isinstance(value, str) else written(value)
        if not isinstance(site.node, ast.Call):
            if entry.kind == "op":  # a bare operator in a list of layers becomes a function of one operand
                return Edit(
                    [Splice(site.start, site.end, f"lambda x: {self.program.text(site.node)}(x, {name}={text})")]
                )
            raise GraphError(f"{entry.name} has no parameters here")
        return self._set_argument(site.node, names, name, text, entry)

    def _set_argument(self, call: ast.Call, names: list[str], name: str, text: str, entry: Entry) -> Edit:
        for k in call.keywords:
            if k.arg == name:
                start, end = self.lines.span(k)
                if not text:
                    return Edit([self._cut_argument(call, start, end)], label="set")
                first, last = self.lines.span(k.value)
                return Edit([Splice(first, last, text)], label="set")
        position = names.index(name)
        starred = any(o.startswith("*") for o in entry.operands)
        if not starred and position < len(call.args):
            start, end = self.lines.span(call.args[position])
            if text:
                return Edit([Splice(start, end, text)], label="set")
            return Edit([self._cut_argument(call, start, end)], label="set")
        if not text:
            return Edit([], label="set")
        arguments = [*call.args, *(k for k in call.keywords)]
        if arguments:
            last = max(self.lines.span(a)[1] for a in arguments)
            return Edit([Splice(last, last, f", {name}={text}")], label="set")
        here = self.lines.span(call)[1] - 1
        return Edit([Splice(here, here, f"{name}={text}")], label="set")

    def _cut_argument(self, call: ast.Call, start: int, end: int) -> Splice:
        """Take an argument away with its comma."""
        spans = sorted(self.lines.span(a) for a in [*call.args, *call.keywords])
        at = spans.index((start, end))
        if at > 0:
            return Splice(spans[at - 1][1], end, "")
        if len(spans) > 1:
            return Splice(start, spans[1][0], "")
        return Splice(start, end, "")

    def operands(self, uid: str) -> list[ast.expr]:
        """The expressions that a node is applied to."""
        whole = self.whole(uid).node
        node = self.drawn(uid)
        if node.path in catalog() and catalog()[node.path].kind == "leaf":
            return []
        if isinstance(whole, ast.BinOp):
            return [whole.left, whole.right]
        if isinstance(whole, ast.UnaryOp):
            return [whole.operand]
        if not isinstance(whole, ast.Call):
            return []
        entry = catalog().get(node.path)
        if entry is not None and entry.kind == "op" and whole is self.site(uid).node:
            names = list(entry.signature.parameters) if entry.signature else []
            starred = [o for o in entry.operands if o.startswith("*")]
            out = [a for i, a in enumerate(whole.args)
                   if starred or (i < len(names) and names[i] in entry.operands)]  # fmt: skip
            return out + [k.value for k in whole.keywords if k.arg in entry.operands]
        return list(whole.args) if node.application else []

    def connect(self, source: str, target: str, port: int) -> Edit:
        """Make a node read a value that has a name; the value it read at that port is replaced.

        Raises:
            GraphError: if the source has no name, or the target takes no such operand.
        """
        name = self.name_of(source)
        if name is None:
            raise GraphError("the value has no name", fix="composer.name(id) gives it one first")
        operands = self.operands(target)
        whole = self.whole(target).node
        if port < len(operands):
            start, end = self.lines.span(operands[port])
            edit = Edit([Splice(start, end, name)], label="connect")
        elif operands and isinstance(whole, ast.Call):
            end = self.lines.span(operands[-1])[1]
            edit = Edit([Splice(end, end, f", {name}")], label="connect")
        else:
            raise GraphError("the target takes no operand there", fix="items of a Sequential read what is before them")
        return self._after_definition(name, target, edit)

    def _after_definition(self, name: str, target: str, edit: Edit) -> Edit:
        """Move the target's statement behind the one that makes the name, where it stands before it."""
        user = self.program.statement_of(self.whole(target))
        maker = next((s for s in self.program.statements() if isinstance(s, ast.Assign)
                      and isinstance(s.targets[0], ast.Name) and s.targets[0].id == name), None)  # fmt: skip
        if user is None or maker is None:
            return edit
        start, last = self.lines.span(user)[0], self.lines.span(maker)[1]
        if start > last or user is maker:
            return edit
        raise GraphError(
            f"'{name}' is made after its new user: the value would depend on itself or come too late",
            fix="connect a value that is made before, or move the statement in the code",
        )

    # ---- taking away

    def remove(self, uids: Iterable[str]) -> Edit:
        """Take nodes away; what read them reads what they read.

        Raises:
            GraphError: if nothing can stand in their place.
        """
        splices = [self._removal(uid) for uid in dict.fromkeys(uids)]
        return Edit(_outermost(splices), label="remove")

    def _removal(self, uid: str) -> Splice:
        node, site = self.drawn(uid), self.site(uid)
        place = self.list_of(site)
        if place is not None:
            return self.cut_item(*place)
        whole = self.whole(uid)
        entry = catalog().get(node.path)
        s = self.program.statement_of(whole)
        if (entry is not None and entry.kind == "leaf") or not self.operands(uid):
            if s is not None and isinstance(s, ast.Assign) and s.value in (whole.node, site.node):
                start, end = self.lines.span(s)
                first, last = self.lines.start_of_line(start), self.lines.end_of_line(end)
                return Splice(first, min(last + 1, len(self.source)), "")
            raise GraphError("nothing could stand in its place", fix="remove what uses it first")
        first_operand = self.operands(uid)[0]
        start, end = self.lines.span(whole.node)
        return Splice(start, end, self.program.text(first_operand))

    def cut_item(self, items: ast.List | ast.Tuple, at: int) -> Splice:
        """Take an element out of a list, with its line if it has one of its own."""
        spans = [self.lines.span(e) for e in items.elts]
        start, end = spans[at]
        limit = spans[at + 1][0] if at + 1 < len(spans) else self.lines.span(items)[1] - 1
        comma = _comma(self.source, end, limit)
        first, last = self.lines.start_of_line(start), self.lines.end_of_line(comma if comma >= 0 else end)
        behind = self.source[(comma if comma >= 0 else end) + (comma >= 0) : last].strip()
        alone = not self.source[first:start].strip() and (not behind or behind.startswith("#"))
        if alone and (comma >= 0 or last < limit):
            return Splice(first, min(last + 1, len(self.source)), "")
        if at + 1 < len(spans):
            return Splice(start, spans[at + 1][0], "")
        if at > 0:
            return Splice(spans[at - 1][1], end, "")
        return Splice(start, comma + 1 if comma >= 0 else end, "")


def _callable(text: str) -> str:
    return f"({text})" if text.startswith("lambda") else text


def _indented(text: str, indent: str) -> str:
    return text.replace("\n", f"\n{indent}")


def _comma(source: str, start: int, limit: int) -> int:
    """The comma between two places, comments left out; -1 if there is none."""
    at = start
    while at < limit:
        if source[at] == "#":
            at = source.find("\n", at)
            if at < 0:
                return -1
        elif source[at] == ",":
            return at
        at += 1
    return -1


def _outermost(splices: list[Splice]) -> list[Splice]:
    """Of removals within removals only the outer ones."""
    ordered = sorted(splices, key=lambda s: (s.start, -s.end))
    out: list[Splice] = []
    for s in ordered:
        if out and s.start < out[-1].end:
            continue
        out.append(s)
    return out

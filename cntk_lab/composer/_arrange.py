"""Commands that put layers elsewhere: group, ungroup, move, copy, paste, give a name.

As in ``_edits``, each gives edits of the text that touch only what they mean.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from cntk_lab.composer._catalog import catalog
from cntk_lab.composer._edits import LONGEST_LINE, STEP, Edit, Editor
from cntk_lab.composer._source import Site, Splice
from cntk_lab.errors import GraphError

KINDS = ("Sequential", "For", "ResNetBlock", "SequentialClique")


class Arranger(Editor):
    """An editor that also knows groups."""

    def group(self, uids: Sequence[str], kind: str, name: str = "", count: int = 3) -> Edit:
        """Put layers that follow each other into a group.

        Raises:
            GraphError: if they do not follow each other in one list, or there is no such kind of group.
        """
        if kind not in KINDS:
            raise GraphError(f"there is no group {kind!r}", fix=f"groups: {', '.join(KINDS)}")
        found = sorted({self.site(u).id: self.site(u) for u in uids}.values(), key=lambda s: s.start)
        places = [self.list_of(s) for s in found]
        if len(found) == 1 and places[0] is None:
            site = self.maker(uids[0])
            return self._replace(site.start, site.end, [self.program.text(site.node)], kind, name, count, [site])
        first = places[0]
        if first is None or any(p is None or p[0] is not first[0] for p in places):
            raise GraphError("these layers are not in one list", fix="group layers of one Sequential")
        indexes = [p[1] for p in places if p is not None]
        if indexes != list(range(indexes[0], indexes[0] + len(indexes))):
            raise GraphError("these layers do not follow each other", fix="move them together first")
        start, end = found[0].start, found[-1].end
        return self._replace(start, end, [self.program.text(s.node) for s in found], kind, name, count, found)

    def maker(self, uid: str) -> Site:
        """The place of the layer that is applied, where an application is meant."""
        node, site = self.drawn(uid), self.site(uid)
        if not node.application or node.application == node.site:
            entry = catalog().get(node.path)
            if entry is None or entry.kind != "layer":
                raise GraphError(f"{node.op} is an operator, not a layer", fix="group layers")
        return site

    def _replace(
        self, start: int, end: int, texts: Sequence[str], kind: str, name: str, count: int, inside: Sequence[Site]
    ) -> Edit:
        indent = self.lines.indent(start)
        named = f', name="{name}"' if name else ""
        if kind == "For" or (kind == "ResNetBlock" and len(texts) == 1):
            inner = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
            if "\n" in inner:  # all its lines go one step in: one stretch of the code changes
                start_of = f"range({count}), lambda: " if kind == "For" else ""
                deeper = inner.replace("\n", f"\n{STEP}")
                opening, closing = f"C.layers.{kind}(\n{indent}{STEP}{start_of}", f"{named}\n{indent})"
                inner = deeper
            elif kind == "For":
                opening, closing = f"C.layers.For(range({count}), lambda: ", f"{named})"
            else:
                opening, closing = "C.layers.ResNetBlock(", f"{named})"
        else:
            one_line = ", ".join(texts)
            fits = "\n" not in one_line and len(indent) + len(one_line) + 40 < LONGEST_LINE and len(texts) < 3
            lines = "".join(f"\n{indent}{STEP}{t.replace(chr(10), chr(10) + STEP)}," for t in texts) + f"\n{indent}"
            inner = one_line if fits else lines
            opening, closing = f"C.layers.{kind}([", f"]{named})"
            if kind == "ResNetBlock":
                opening, closing = "C.layers.ResNetBlock(C.layers.Sequential([", f"]){named})"
        text = f"{opening}{inner}{closing}"
        hints, at = {}, start + len(opening)
        for site, t in zip(inside, texts, strict=True):
            offset = text.find(t, at - start)
            if offset >= 0:
                hints[site.id] = start + offset
                at = start + offset + len(t)
        return Edit([Splice(start, end, text)], hints, start, "group")

    def ungroup(self, uid: str) -> Edit:
        """Take a group apart: its layers stand in its place.

        Raises:
            GraphError: if the node is no Sequential in a list.
        """
        site = self.site(uid)
        items, place = self.items_of(site), self.list_of(site)
        if items is None or place is None:
            raise GraphError("this is no group within a list of layers", fix="ungroup a Sequential in a Sequential")
        spans = [self.lines.span(e) for e in items.elts]
        if not spans:
            return Edit([self.cut_item(*place)], label="ungroup")
        indent = self.lines.indent(site.start)
        texts = [self.source[a:b] for a, b in spans]
        alone = not self.source[self.lines.start_of_line(site.start) : site.start].strip()
        gap = f",\n{indent}" if alone and "\n" in self.source[site.start : site.end] else ", "
        if gap != ", ":
            texts = [t.replace(f"\n{STEP}", "\n") for t in texts]
        text, hints = "", {}
        for e, t in zip(items.elts, texts, strict=True):
            text += gap if text else ""
            if id(e) in self.program.by_node:
                hints[self.program.site(e).id] = site.start + len(text)
            text += t
        return Edit([Splice(site.start, site.end, text)], hints, site.start, "ungroup")

    def move(self, uid: str, after: str | None, before: str | None, into: str | None) -> Edit:
        """Put a layer of a list elsewhere.

        Raises:
            GraphError: if it is not in a list, or is to go into itself.
        """
        site = self.site(uid)
        place = self.list_of(site)
        if place is None:
            raise GraphError("only layers in a list can be moved", fix="edit the connection instead")
        anchor = self.site(next(a for a in (after, before, into) if a is not None))
        if site.start <= anchor.start and anchor.end <= site.end:
            raise GraphError("a layer cannot be moved into itself")
        text = self.program.text(site.node)
        old = self.lines.indent(site.start)
        added = self.insert(text.replace(f"\n{old}", "\n"), after, before, into)
        cut = self.cut_item(*place)
        insertion = added.splices[0]
        if cut.start < insertion.start < cut.end or (cut.start == insertion.start and cut.end == insertion.end):
            return Edit([], label="move")
        if len(added.splices) > 1:
            raise GraphError("a layer can be moved within lists only", fix="copy and paste it")
        if insertion.start in (cut.start, cut.end) and insertion.end == insertion.start and _touch(cut, insertion):
            return Edit([], label="move")
        shift = len(cut.text) - (cut.end - cut.start) if cut.end <= insertion.start else 0
        return Edit([cut, *added.splices], {site.id: added.look_at + shift}, added.look_at + shift, "move")

    def name(self, uid: str, wanted: str = "") -> Edit:
        """Give the value of a node a variable of its own, before the statement that uses it.

        Raises:
            GraphError: if it is an item of a list, whose value cannot be taken out without taking the list apart.
        """
        known = self.name_of(uid)
        if known is not None:
            return Edit([], label="name")
        node = self.drawn(uid)
        site = self.site(uid)
        place = self.list_of(site)
        name = self.free_name(wanted or node.name or node.op)
        if place is None:
            whole = self.whole(uid)
            s = self.program.statement_of(whole)
            if s is None:
                raise GraphError("this value cannot get a name")
            line = self.lines.start_of_line(self.lines.span(s)[0])
            indent = self.lines.indent(line)
            text = self.program.text(whole.node)
            start = f"{indent}{name} = {text}\n"
            return Edit(
                [Splice(line, line, start), Splice(whole.start, whole.end, name)],
                {whole.id: line + len(indent) + len(name) + 3}, line, "name",
            )  # fmt: skip
        return self._split(place[0], place[1], name)

    def _split(self, items: ast.List | ast.Tuple, at: int, name: str) -> Edit:
        """Cut ``Sequential([a, b, c])(x)`` after an item: ``h = Sequential([a, b])(x)``, ``Sequential([c])(h)``."""
        owner = self.program.site(items).parent
        call = owner.parent if owner is not None else None
        if (
            owner is None or call is None or not isinstance(call.node, ast.Call) or call.node.func is not owner.node
            or len(call.node.args) != 1 or not isinstance(owner.node, ast.Call) or owner.node.keywords
            or not ast.unparse(owner.node.func).endswith("Sequential")
        ):  # fmt: skip
            raise GraphError(
                "the value is inside a group, where it cannot be reached", fix="ungroup the layers around it first"
            )
        s = self.program.statement_of(call)
        if s is None:
            raise GraphError("this value cannot get a name")
        line = self.lines.start_of_line(self.lines.span(s)[0])
        indent = self.lines.indent(line)
        spans = [self.lines.span(e) for e in items.elts]
        texts = [self.source[a:b] for a, b in spans]
        operand = self.program.text(call.node.args[0])
        head = "".join(f"\n{indent}{STEP}{t}," for t in texts[: at + 1])
        first = f"{indent}{name} = C.layers.Sequential([{head}\n{indent}])({operand})\n"
        tail = "".join(f"\n{indent}{STEP}{t}," for t in texts[at + 1 :])
        rest = f"C.layers.Sequential([{tail}\n{indent}])({name})" if tail else name
        hints, look = {}, line + len(indent) + len(name) + 3
        position = 0
        for e, t in zip(items.elts[: at + 1], texts, strict=False):
            position = first.index(t, position)
            if id(e) in self.program.by_node:
                hints[self.program.site(e).id] = line + position
            position += len(t)
        base, position = call.start + len(first), 0
        for e, t in zip(items.elts[at + 1 :], texts[at + 1 :], strict=True):
            position = rest.index(t, position)
            if id(e) in self.program.by_node:
                hints[self.program.site(e).id] = base + position
            position += len(t)
        if tail:
            hints.setdefault(owner.id, base)
        return Edit([Splice(line, line, first), Splice(call.start, call.end, rest)], hints, look, "name")


def _touch(cut: Splice, insertion: Splice) -> bool:
    """Whether an insertion at the edge of a cut puts the same text back."""
    return insertion.start in (cut.start, cut.end)

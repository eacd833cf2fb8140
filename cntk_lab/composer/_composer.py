"""The composer without a screen: a network as code and as a graph, both editable, with its weights kept.

Knows no widget. The program's text is what is true: the graph is read from it, every command is an edit of it, and what
is saved is it. Wishes behind it: code out of a visual editor and back into it, and editing models that exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cntk_lab._files import atomic_file
from cntk_lab.composer import _catalog as known
from cntk_lab.composer._edits import Code, Edit
from cntk_lab.composer._forms import as_written
from cntk_lab.composer._open import opened
from cntk_lab.composer._program import Ids, Problem, Program, read
from cntk_lab.composer._repair import Bench, Fix
from cntk_lab.composer._source import Splice, bounded, difference, joined
from cntk_lab.composer._state import State, build, titles
from cntk_lab.composer._weights import Memory, Report
from cntk_lab.errors import AttributeValueError, GraphError, LabError
from cntk_lab.graph.function import Function

MOST_UNDO = 500


@dataclass(frozen=True)
class _Step:
    """One entry of the history."""

    program: Program
    label: str


class Composer:
    """A network that is composed by hand: from commands, from code, or both.

    Args:
        model: a Function to open, the text of a program, the path of one (``model.py``) or of a model file, or None
            for an empty one.

    Raises:
        GraphError: if the function has loops that no layer of the library makes.

    Example:
        >>> import cntk_lab as C
        >>> composer = Composer()
        >>> dense = composer.add("Dense", shape=32, activation=C.relu)
        >>> last = composer.add("Dense", shape=3)
        >>> composer.model.shape, composer.problems
        ((3,), ())
        >>> composer.set(dense, shape=64)
        >>> composer.report.kept, len(composer.report.new), len(composer.report.dropped)
        (('Dense.b (3)',), 3, 3)
    """

    def __init__(self, model: Function | str | os.PathLike[str] | None = None) -> None:
        self._ids = Ids()
        self._memory = Memory()
        self._past: list[_Step] = []
        self._future: list[_Step] = []
        self._clipboard: list[str] = []
        self._listeners: list[Any] = []
        written = opened(model)
        program = read(bounded(written.source), self._ids)
        for node, weights in written.weights(program):
            self._memory.adopt(node, weights)
        self._read = program
        self._state = build(program, self._memory)
        self._good = self._state if not self._state.problems else None
        self._report = Report(new=self._labels(self._state.weights(), [self._state]))
        if written.opened:
            self._report = Report(kept=self._report.new)

    # ---- what there is

    @property
    def code(self) -> str:
        """The program. Setting it reads it again; nodes that are recognised keep their ids and weights."""
        return self._read.source

    @code.setter
    def code(self, source: str) -> None:
        if source != self._read.source:
            self._advance(source, None, None, "edit code")

    @property
    def model(self) -> Function:
        """The network; while the program has problems, that of the last program without.

        Raises:
            GraphError: if no state of the program could be built so far.
        """
        if self._good is None or self._good.model is None:
            words = self._state.problems[0].message if self._state.problems else "it is empty"
            raise GraphError(f"there is no model yet: {words}", fix="composer.fix() repairs what is wrong")
        return self._good.model

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What keeps the program from being a network, in the order of the text."""
        return tuple(sorted(self._state.problems, key=lambda p: p.start))

    @property
    def report(self) -> Report:
        """What the last edit did to the weights."""
        return self._report

    @property
    def graph(self) -> dict[str, Any]:
        """The picture of the program as plain data, also where it is broken."""
        return self._state.snapshot()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The ids of all drawn nodes, in the order of computation."""
        return tuple(self._state.trace.nodes)

    @property
    def spans(self) -> dict[str, list[int]]:
        """Where each drawn node stands in the code: its first place and the one behind its last."""
        by_id = self._state.program.by_id
        nodes = self._state.trace.nodes.values()
        return {n.uid: [by_id[n.site].start, by_id[n.site].end] for n in nodes if n.site in by_id}

    @property
    def undoable(self) -> tuple[str, ...]:
        """What could be undone, latest first."""
        return tuple(s.label for s in reversed(self._past))

    @property
    def redoable(self) -> tuple[str, ...]:
        """What could be done again, next first."""
        return tuple(s.label for s in reversed(self._future))

    def find(self, what: str) -> str:
        """The id of the first node of that name, operator or input.

        Args:
            what: a name that was given to a node, the name of a layer or operator, or a variable of the program.

        Returns:
            The id, for the commands.

        Raises:
            GraphError: if there is none.
        """
        found = self.find_all(what)
        if not found:
            raise GraphError(f"there is no node {what!r}", fix=f"there are: {', '.join(self._words())}")
        return found[0]

    def find_all(self, what: str) -> list[str]:
        """The ids of all nodes of that name, operator or variable.

        Args:
            what: as for ``find``.

        Returns:
            Ids in the order of computation.
        """
        nodes = self._state.trace.nodes
        named = [n.uid for n in nodes.values() if n.name == what]
        path = what.removeprefix("C.").removeprefix("layers.")
        kind = [n.uid for n in nodes.values() if path in (n.op, n.path, n.path.removeprefix("layers."))]
        editor = self._state.editor
        return named or kind or [uid for uid in nodes if editor.name_of(uid) == what]

    def _words(self) -> list[str]:
        return list(dict.fromkeys(n.name or n.op for n in self._state.trace.nodes.values()))[:20]

    def form(self, node: str) -> dict[str, Any]:
        """The parameters of a node, to be shown and edited.

        Args:
            node: its id.

        Returns:
            ``{"title", "name", "fields": [{"name", "value", "words", "default", "otherwise", "required", "kind",
            "choices", "unit", "help"}]}``; values are code, "" where the default holds; ``words`` is how a value is
            shown and can be written.
        """
        drawn = self._state.editor.drawn(node)
        entry = known.catalog().get(drawn.path)
        fields = [
            f.plain()
            | {
                "value": (value := drawn.attributes.get(f.name, "")),
                "words": as_written(f, value),
                "otherwise": as_written(f, f.default),
            }
            for f in (entry.fields if entry is not None else ())
        ]
        return {"node": node, "title": drawn.op, "name": drawn.name, "summary": entry.summary if entry else "",
                "variable": self._state.editor.name_of(node) or "", "fields": fields}  # fmt: skip

    # ---- commands

    def add(
        self, what: str, *, after: str | None = None, before: str | None = None, into: str | None = None,
        to: str | Sequence[str] | None = None, name_value: str = "", **parameters: Any,
    ) -> str:  # fmt: skip
        """Add a layer, an operator, a group or an input.

        Args:
            what: name in the palette: ``"Dense"``, ``"relu"``, ``"sequence.last"``, ``"input_variable"``.
            after: id of the node to put it behind.
            before: id of the node to put it before.
            into: id of a group at whose end it is put. Without a place it goes to the end of the model.
            to: id or ids of named values that a new branch is applied to: it becomes a statement of its own.
            name_value: the variable for the new branch or input.
            parameters: of the layer; required ones that are missing get a sensible value.

        Returns:
            The id of the new node.

        Raises:
            AttributeValueError: if the palette has no such thing, or it no such parameter.
            GraphError: if there is no such place.
        """
        entry = known.find(what)
        if entry is None or not known.category(entry):
            close = [str(e["name"]) for e in known.palette() if what.lower() in str(e["name"]).lower()][:5]
            raise AttributeValueError(f"the palette has no {what!r}", fix=f"like it: {', '.join(close) or 'nothing'}")
        editor = self._state.editor
        if entry.kind == "leaf":
            given = {"name": name_value or parameters.pop("name", "") or editor.free_name(entry.name), **parameters}
            edit = editor.statement(editor.free_name(str(given["name"])), editor.code_for(entry, given))
            edit = self._at_top(edit, entry) if entry.name == "input_variable" else edit
        elif to is not None:
            sources = [to] if isinstance(to, str) else list(to)
            names = [self._named(s) for s in sources]
            editor = self._state.editor
            if entry.kind == "op":
                code = editor.code_for(entry, parameters, names)
            else:
                code = f"{editor.code_for(entry, parameters)}({', '.join(names)})"
            edit = editor.statement(editor.free_name(name_value or entry.name), code)
        else:
            edit = editor.insert(editor.code_for(entry, parameters), after, before, into)
        return self._do(edit, f"add {entry.name}")

    def _at_top(self, edit: Edit, entry: known.Entry) -> Edit:
        """A new input stands behind the last one, before the statements that may read it."""
        leaves = [
            n for n in self._state.trace.nodes.values() if n.path == entry.path or n.path.endswith("input_variable")
        ]
        if not leaves:
            return edit
        program = self._state.program
        s = program.statement_of(program.by_id[leaves[-1].site])
        if s is None:
            return edit
        at = min(program.lines.end_of_line(program.lines.span(s)[1]) + 1, len(program.source))
        gap = "" if program.source[:at].endswith("\n") else "\n"
        text = edit.splices[0].text
        return Edit([Splice(at, at, gap + text.lstrip())], look_at=at + len(gap) + text.lstrip().index("= ") + 2)

    def remove(self, *nodes: str) -> None:
        """Take nodes away; what read them reads what they read.

        Args:
            nodes: their ids.

        Raises:
            GraphError: if nothing could stand in their place.
        """
        self._do(self._state.editor.remove(nodes), "remove")

    def connect(self, source: str, target: str, port: int = 0) -> None:
        """Make a node read another value. A value without a name gets one first, as an edit of its own.

        Args:
            source: id of the node that gives the value.
            target: id of the node that is to read it.
            port: which operand, from 0; one more than there are adds one.

        Raises:
            GraphError: if the value would come too late, or the target takes no such operand.
        """
        self._named(source)
        self._do(self._state.editor.connect(source, target, port), "connect")

    def set(self, node: str, **parameters: Any) -> None:
        """Change parameters of a node.

        Args:
            node: its id.
            parameters: values: numbers, texts, tuples, operators, initializers, or ``Code("...")`` for anything that
                a program may hold; ``Code("")`` gives the default back.

        Raises:
            AttributeValueError: if there is no such parameter, or a value cannot be written.
        """
        for name, value in parameters.items():
            self._do(self._state.editor.set_parameter(node, name, value), f"set {name}")

    def rename(self, node: str, name: str) -> None:
        """Give a node a name, by which it is found in the model.

        Args:
            node: its id.
            name: "" for none.
        """
        self.set(node, name=name or Code(""))

    def group(self, *nodes: str, kind: str = "Sequential", name: str = "", count: int = 3) -> str:
        """Put layers that follow each other into a group.

        Args:
            nodes: their ids.
            kind: ``Sequential``, ``For``, ``ResNetBlock`` or ``SequentialClique``.
            name: of the group.
            count: repetitions of ``For``.

        Returns:
            The id of the group.
        """
        return self._do(self._state.editor.group(nodes, kind, name, count), f"group as {kind}")

    def ungroup(self, node: str) -> None:
        """Put the layers of a Sequential in its place.

        Args:
            node: id of the group.
        """
        self._do(self._state.editor.ungroup(node), "ungroup")

    def move(self, node: str, *, after: str | None = None, before: str | None = None, into: str | None = None) -> None:
        """Put a layer of a list elsewhere; its weights go with it where their shapes allow.

        Args:
            node: its id.
            after: id of the node to put it behind.
            before: id of the node to put it before.
            into: id of a group at whose end it is put.
        """
        if after is before is into is None:
            raise AttributeValueError("move: no place is given", fix="give after=, before= or into=")
        self._do(self._state.editor.move(node, after, before, into), "move")

    def name(self, node: str, variable: str = "") -> str:
        """Give a node's value a variable in the program, so that other nodes can read it.

        Args:
            node: its id.
            variable: the name; by default made from the node's.

        Returns:
            The variable.
        """
        self._do(self._state.editor.name(node, variable), "name value")
        return self._state.editor.name_of(node) or ""

    def _named(self, node: str) -> str:
        found = self._state.editor.name_of(node)
        return found if found is not None else self.name(node)

    def copy(self, *nodes: str) -> tuple[str, ...]:
        """Keep the code of layers for ``paste``.

        Args:
            nodes: their ids.

        Returns:
            The code of each.
        """
        editor = self._state.editor
        found = sorted({editor.site(n).id: editor.site(n) for n in nodes}.values(), key=lambda s: s.start)
        self._clipboard = [self._state.program.text(s.node) for s in found]
        return tuple(self._clipboard)

    def paste(self, *, after: str | None = None, before: str | None = None, into: str | None = None) -> str:
        """Put what was copied behind a node; it gets weights of its own.

        Args:
            after: id of the node to put it behind; by default the end of the model.
            before: id of the node to put it before.
            into: id of a group at whose end it is put.

        Returns:
            The id of the (first) new node.

        Raises:
            GraphError: if nothing was copied.
        """
        if not self._clipboard:
            raise GraphError("nothing was copied", fix="composer.copy(id) first")
        text = self._clipboard[0] if len(self._clipboard) == 1 else f"[{', '.join(self._clipboard)}]"
        return self._do(self._state.editor.insert(text, after, before, into), "paste")

    # ---- fixing

    def fix_for(self, problem: Problem, *, deleting: bool = False) -> Fix | None:
        """A change after which a problem is gone; it has been tried out. None if none was found.

        Args:
            problem: one of ``problems``.
            deleting: whether to look for one that takes something away; by default nothing is lost.
        """
        return Bench(self._read, self._state, self._good, self._memory).fix(problem, deleting=deleting)

    def fix(self, problem: Problem | None = None, *, deleting: bool = False) -> str:
        """Repair a problem.

        Args:
            problem: one of ``problems``; by default the first.
            deleting: whether something may be taken away for it.

        Returns:
            What was done.

        Raises:
            GraphError: if there is no problem, or no fix for it.
        """
        if problem is None:
            if not self.problems:
                raise GraphError("nothing is wrong")
            problem = self.problems[0]
        found = self.fix_for(problem, deleting=deleting)
        if found is None:
            removal = None if deleting else self.fix_for(problem, deleting=True)
            fix = f"{removal.label}: composer.fix(deleting=True)" if removal else "undo the last edit: composer.undo()"
            kept = "that keeps everything " if removal else ""
            raise GraphError(f"no fix {kept}was found for: {problem.message}", fix=fix)
        self._do(found.edit, f"fix: {found.label}")
        return found.label

    # ---- history

    def undo(self) -> str:
        """Take the last edit back; weights that it dropped return.

        Returns:
            What was undone.

        Raises:
            GraphError: if there is nothing to undo.
        """
        if not self._past:
            raise GraphError("there is nothing to undo")
        step = self._past.pop()
        self._future.append(_Step(self._read, step.label))
        self._show(step.program)
        return step.label

    def redo(self) -> str:
        """Do again what was undone.

        Returns:
            What was done.

        Raises:
            GraphError: if there is nothing to do again.
        """
        if not self._future:
            raise GraphError("there is nothing to do again")
        step = self._future.pop()
        self._past.append(_Step(self._read, step.label))
        self._show(step.program)
        return step.label

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program to a file, which appears whole or not at all.

        Args:
            path: of a Python file; weights are saved with ``composer.model.save``.
        """
        with atomic_file(path) as file:
            file.write(self.code.encode())

    def listen(self, listener: Any) -> None:
        """Call a function after every edit.

        Args:
            listener: takes no argument.
        """
        self._listeners.append(listener)

    def _do(self, edit: Edit, label: str) -> str:
        """Carry out an edit; the id of the node that it added, where it added one."""
        if not edit.splices:
            return ""
        source = joined(self._read.source, edit.splices).apply(self._read.source)
        if source != self._read.source:
            self._advance(source, edit.splices, edit.hints, label)
        return self._at(edit.look_at) if edit.look_at >= 0 else ""

    def _at(self, place: int) -> str:
        """The drawn node whose text begins at a place (the outermost one)."""
        sites = [s for s in self._state.program.sites if s.start == place]
        for s in sites:
            for node in self._state.trace.nodes.values():
                if s.id in (node.site, node.application):
                    return node.uid
        return sites[0].id if sites else ""

    def _advance(self, source: str, splices: list[Splice] | None, hints: dict[str, int] | None, label: str) -> None:
        base, source = self._state.program, bounded(source)  # the last that could be read
        edits = splices if splices is not None and base is self._read else [difference(base.source, source)]
        program = read(source, self._ids, base, edits, hints)
        self._past.append(_Step(self._read, label))
        del self._past[:-MOST_UNDO]
        self._future.clear()
        self._show(program)

    def _show(self, program: Program) -> None:
        self._read = program
        before = self._good
        if any(p.kind in ("syntax", "depth") for p in program.problems) and not program.sites:
            # what cannot be read keeps the picture of before
            old = self._state
            self._state = State(old.program, old.trace, list(program.problems), None, old.outputs, old.name, old.scope)
        else:
            self._state = build(program, self._memory)
            if not self._state.problems:
                self._good = self._state
                self._report = self._compare(before, self._state)
        for listener in self._listeners:
            listener()

    def _compare(self, before: State | None, after: State) -> Report:
        old = {id(v): v for v in (before.weights() if before is not None else [])}
        now = {id(v): v for v in after.weights()}
        both = [after] if before is None else [before, after]
        gone = [v for i, v in old.items() if i not in now]
        unlike = [v for i, v in now.items() if i not in old]
        back = [v for v in unlike if id(v) in self._memory.shown]
        fresh = [v for v in unlike if id(v) not in self._memory.shown]
        return Report(
            kept=self._labels([v for i, v in now.items() if i in old], both),
            new=self._labels(fresh, both),
            dropped=self._labels(gone, both),
            restored=self._labels(back, both),
        )

    def _labels(self, weights: Sequence[Any], states: Iterable[State]) -> tuple[str, ...]:
        names = titles(states)
        out = tuple(self._memory.label(v, names) for v in weights)
        self._memory.shown.update({id(v): v for v in weights})
        return out


__all__ = ["Code", "Composer", "Fix", "LabError", "Problem", "Report"]

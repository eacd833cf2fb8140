"""The composer without a screen: a network as code and as a graph, both editable, with its weights kept.

Knows no widget. The program's text is what is true: the graph is read from it, every command is an edit of it, and what
is saved is it. Wishes behind it: code out of a visual editor and back into it, and editing models that exist.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from typing import Any

from cntk_lab._files import atomic_file
from cntk_lab._words import shown
from cntk_lab.composer import _catalog as known
from cntk_lab.composer._edits import Edit
from cntk_lab.composer._new_code import Code, code_for
from cntk_lab.composer._open import MODEL_FILES, opened
from cntk_lab.composer._program import Problem, read
from cntk_lab.composer._repair import Bench, Fix
from cntk_lab.composer._session import Step
from cntk_lab.composer._source import Splice, bounded
from cntk_lab.composer._templates import template
from cntk_lab.composer._training import training_cell
from cntk_lab.composer._view import View
from cntk_lab.composer._weights import Report
from cntk_lab.errors import AttributeValueError, GraphError, LabError
from cntk_lab.graph.function import Function


class Composer(View):
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
        entry = self._entry(what)
        editor = self._state.editor
        if entry.kind == "leaf":
            given = {"name": name_value or parameters.pop("name", "") or editor.free_name(entry.name), **parameters}
            edit = editor.statement(editor.free_name(str(given["name"])), code_for(entry, given))
            edit = self._at_top(edit, entry) if entry.name == "input_variable" else edit
        elif to is not None:
            sources = [to] if isinstance(to, str) else list(to)
            names = [self._named(s) for s in sources]
            editor = self._state.editor
            if entry.kind == "op":
                code = code_for(entry, parameters, names)
            else:
                code = f"{code_for(entry, parameters)}({', '.join(names)})"
            edit = editor.statement(editor.free_name(name_value or entry.name), code)
        else:
            suited = self._suited(entry, parameters, after or into)
            edit = editor.insert(code_for(entry, suited), after, before, into)
        return self._do(edit, f"add {entry.name}")

    def _suited(self, entry: known.Entry, parameters: dict[str, Any], behind: str | None) -> dict[str, Any]:
        """Parameters that suit the value at a place: behind images, statistics are those of channels."""
        if entry.name != "BatchNormalization" or "map_rank" in parameters:
            return parameters
        drawn = self._state.trace.nodes.get(behind or "")
        found = drawn.variables if drawn is not None else self._state.model.outputs if self._state.model else ()
        shape = found[0].type.shape if found else None
        return {"map_rank": 1, **parameters} if shape is not None and len(shape) == 3 else parameters

    def _entry(self, what: str) -> known.Entry:
        entry = known.find(what)
        if entry is None or not known.category(entry):
            close = [str(e["name"]) for e in known.palette() if what.lower() in str(e["name"]).lower()][:5]
            raise AttributeValueError(f"the palette has no {what!r}", fix=f"like it: {', '.join(close) or 'nothing'}")
        return entry

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

    def begin(self, name: str) -> None:
        """Put a template in the place of the program; undo brings the program back.

        Args:
            name: ``mlp``, ``convnet``, ``resnet``, ``tagger``, ``seq2seq``, ``transformer``, ``autoencoder``, ``gan``.

        Raises:
            AttributeValueError: if there is no such template.
        """
        found = template(name)
        self._advance(found.source, None, None, f"begin with {found.title}")

    def load(self, model: Function | str | os.PathLike[str]) -> None:
        """Put another model in the place of the program, with its weights; undo brings the program back.

        Args:
            model: a Function, the path of a program or of a model file.

        Raises:
            FormatError: if a file is too large or damaged.
            GraphError: if the model has loops that no layer makes.
        """
        written = opened(model)
        program = read(bounded(written.source), self._ids)
        for node, weights in written.weights(program):
            self._memory.adopt(node, weights)
        name = shown(os.fspath(model), 60) if not isinstance(model, Function) else model.name or "a function"
        self._past.append(Step(self._read, f"open {name}"))
        self._future.clear()
        self._show(program)

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

    def paste(
        self, *, after: str | None = None, before: str | None = None, into: str | None = None, code: str = ""
    ) -> str:
        """Put what was copied behind a node; it gets weights of its own.

        Args:
            code: layers as Python text, from another composer or a program; by default what was copied here.
            after: id of the node to put it behind; by default the end of the model.
            before: id of the node to put it before.
            into: id of a group at whose end it is put.

        Returns:
            The id of the (first) new node.

        Raises:
            GraphError: if nothing was copied.
        """
        if code.strip():
            self._clipboard = _layers_in_text(code)
        if not self._clipboard:
            raise GraphError("nothing was copied", fix="composer.copy(id) first")
        return self._do(self._state.editor.insert(self._clipped(), after, before, into), "paste")

    def _clipped(self) -> str:
        return self._clipboard[0] if len(self._clipboard) == 1 else f"[{', '.join(self._clipboard)}]"

    def duplicate(self, *nodes: str) -> str:
        """Put a copy of layers behind the last of them; it gets weights of its own.

        Args:
            nodes: their ids.

        Returns:
            The id of the (first) new node.

        Raises:
            AttributeValueError: if no node is given.
        """
        if not nodes:
            raise AttributeValueError("duplicate: no node is given", fix="give the ids of layers")
        kept = self._clipboard
        self.copy(*nodes)
        editor = self._state.editor
        last = max(nodes, key=lambda n: editor.site(n).start)
        try:
            return self._do(editor.insert(self._clipped(), last), "duplicate")
        finally:
            self._clipboard = kept

    def insert(self, what: str, source: str, target: str, **parameters: Any) -> str:
        """Add a layer or an operator on the way of a value from one node to another.

        Args:
            what: name in the palette.
            source: id of the node that gives the value.
            target: id of the node that reads it; other readers are left alone.
            parameters: of the layer.

        Returns:
            The id of the new node.

        Raises:
            AttributeValueError: if the palette has no such thing.
            GraphError: if no value goes from one to the other, or there is no such place.
        """
        entry = self._entry(what)
        edges = [e for e in self._state.trace.edges if e.source == source and e.target == target]
        if not edges or entry.kind == "leaf":
            raise GraphError("there is no such edge", fix="edges are those of composer.graph")
        code = code_for(entry, self._suited(entry, parameters, source))
        edit = self._state.editor.insert_between(target, edges[0].port, code)
        return self._do(edit, f"insert {entry.name}")

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

    def training_cell(self, source: str = "composer.model") -> str:
        """Python for a cell that trains the network and shows the monitor: a beginning, to be changed.

        Args:
            source: an expression that gives the network.

        Raises:
            GraphError: if there is no network yet, or it has not one output.
        """
        return training_cell(self.model, source)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program, or the network with its weights, to a file, which appears whole or not at all.

        Args:
            path: ``*.py`` for the program; ``*.model``, ``*.dnn`` or ``*.cntk`` for the network with its weights.

        Raises:
            GraphError: if there is no network yet.
        """
        if os.fspath(path).endswith(MODEL_FILES):
            self.model.save(os.fspath(path))
            return
        with atomic_file(path) as file:
            file.write(self.code.encode())


def _layers_in_text(code: str) -> list[str]:
    """Layers in text that was copied anywhere: one expression, a list, or lines that end with commas.

    Raises:
        GraphError: if it is no such text.
    """
    text = code.strip().removesuffix(",")
    for candidate in (text, f"[{text}]"):
        try:
            node = ast.parse(candidate, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        parts = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
        return [ast.unparse(p) for p in parts]
    raise GraphError("what is to be pasted is no list of layers", fix="copy layers such as C.layers.Dense(10)")


__all__ = ["Code", "Composer", "Fix", "LabError", "Problem", "Report"]

"""What can be seen of a composed program: code, network, problems, picture, costs, forms; only the code can be set."""

from __future__ import annotations

from typing import Any

from cntk_lab.composer import _catalog as known
from cntk_lab.composer._costs import of_network, of_nodes
from cntk_lab.composer._forms import as_written
from cntk_lab.composer._program import Problem
from cntk_lab.composer._session import Session
from cntk_lab.composer._trace import count
from cntk_lab.composer._weights import Report
from cntk_lab.errors import GraphError
from cntk_lab.graph.function import Function


class View(Session):
    """A program that is edited, to look at."""

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
    def costs(self) -> dict[str, dict[str, int]]:
        """What each drawn node whose shape is known costs for one sample: ``parameters``, ``operations``, ``bytes``."""
        return {uid: cost.plain() for uid, cost in of_nodes(self._state.trace).items()}

    @property
    def total(self) -> dict[str, int]:
        """What the network costs for one sample: ``parameters``, ``operations``, ``bytes``; {} while it is broken."""
        model = self._state.model
        if model is None or self._state.problems:
            return {}
        return of_network(model.outputs, count(model.parameters)).plain()

    @property
    def unused(self) -> tuple[str, ...]:
        """The ids of drawn nodes that are not part of the model: no output depends on them."""
        trace, needed = self._state.trace, set(self._state.outputs)
        for edge in reversed(trace.edges):
            if edge.target in needed:
                needed.add(edge.source)
        for node in reversed(trace.nodes.values()):  # what holds a node that is needed, and what is in a layer
            if node.uid in needed and node.parent is not None:
                needed.add(node.parent)
        layers = {n.uid for n in trace.nodes.values() if n.kind == "block" and n.uid in needed}
        return tuple(u for u, n in trace.nodes.items() if u not in needed and n.parent not in layers)

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

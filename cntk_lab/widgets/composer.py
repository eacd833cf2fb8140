"""The composer on the screen: palette, canvas, parameter form and code beside each other, in step.

Shows a :class:`~cntk_lab.composer.Composer` and passes on what the browser asks for; it decides nothing about
programs. State that Python owns: everything but ``selected``, which both may change. Zoom, the search in the palette
and code that is being typed belong to the browser.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final

import traitlets

from cntk_lab._words import all_shown, shown
from cntk_lab.composer import Code, Composer, Problem, Report, palette
from cntk_lab.graph.function import Function
from cntk_lab.widgets import _messages as messages
from cntk_lab.widgets import display
from cntk_lab.widgets._base import LabWidget
from cntk_lab.widgets._snapshot import check

MOST_SHOWN: Final = 50
"""Problems that are sent to the browser."""
LONGEST: Final = 300
"""Characters of a message that are sent."""


def _delegated(name: str) -> Any:
    """A method that calls the composer's of that name; its documentation is the composer's."""
    target: Callable[..., Any] = getattr(Composer, name)

    @functools.wraps(target)
    def call(self: GraphComposer, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.composer, name)(*args, **kwargs)

    return call


class GraphComposer(LabWidget):
    """A network to build and change by hand, with its code beside it.

    Everything the browser does has a method here, with the same effect: ``add``, ``remove``, ``connect``, ``set``,
    ``rename``, ``group``, ``ungroup``, ``move``, ``name``, ``copy``, ``paste``, ``fix``, ``undo``, ``redo``, ``save``.

    Args:
        model: a Function to open, the text or the path of a program, a Composer, or None for an empty one.

    Raises:
        GraphError: if the function has loops that no layer makes.

    Example:
        >>> composer = GraphComposer()
        >>> hidden = composer.add("Dense", shape=32)
        >>> composer.model.shape
        (32,)
    """

    bundle_name = "composer"

    graph = traitlets.Dict().tag(sync=True)
    source = traitlets.Unicode("").tag(sync=True)
    wrong: traitlets.List[Any] = traitlets.List().tag(sync=True)
    told = traitlets.Unicode("").tag(sync=True)
    form_shown = traitlets.Dict().tag(sync=True)
    spans = traitlets.Dict().tag(sync=True)
    history = traitlets.List(traitlets.Unicode()).tag(sync=True)
    palette: traitlets.List[Any] = traitlets.List().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)

    def __init__(self, model: Function | str | os.PathLike[str] | Composer | None = None) -> None:
        self.composer = model if isinstance(model, Composer) else Composer(model)
        super().__init__(palette=[{k: e[k] for k in ("path", "name", "category", "summary")} for e in palette()])
        self._show()
        self.composer.listen(self._show)
        self.observe(self._select, "selected")

    # ---- the composer's own

    add = _delegated("add")
    remove = _delegated("remove")
    connect = _delegated("connect")
    set = _delegated("set")
    rename = _delegated("rename")
    group = _delegated("group")
    ungroup = _delegated("ungroup")
    move = _delegated("move")
    name = _delegated("name")
    copy = _delegated("copy")
    paste = _delegated("paste")
    fix = _delegated("fix")
    fix_for = _delegated("fix_for")
    undo = _delegated("undo")
    redo = _delegated("redo")
    save = _delegated("save")
    find = _delegated("find")
    find_all = _delegated("find_all")
    form = _delegated("form")

    @property
    def model(self) -> Function:
        """The network; while the program has problems, that of the last program without."""
        return self.composer.model

    @property
    def code(self) -> str:
        """The program. Setting it reads it again."""
        return self.composer.code

    @code.setter
    def code(self, source: str) -> None:
        self.composer.code = source

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What keeps the program from being a network."""
        return self.composer.problems

    @property
    def nodes(self) -> tuple[str, ...]:
        """The ids of all drawn nodes, in the order of computation."""
        return self.composer.nodes

    @property
    def report(self) -> Report:
        """What the last edit did to the weights."""
        return self.composer.report

    # ---- the browser's

    def static_forms(self) -> dict[str, Any]:
        """The picture, and the code as text."""
        snapshot = self.composer.graph
        groups = [n["id"] for n in snapshot["nodes"] if n["kind"] == "group"]
        words = f"{shown(self.composer.code, len(self.composer.code), lines=True)}\n{display.text(snapshot)}"
        return display.with_picture(words, lambda: display.svg(snapshot, groups))

    def answer(self, request: messages.Request) -> messages.Reply:
        """An edit that the browser asks for."""
        if not isinstance(request, messages.Compose):
            return super().answer(request)
        return messages.Done("done", self._edit(request)[:LONGEST])

    def _edit(self, request: messages.Compose) -> str:
        """Carry out a request; words for the user."""
        c, nodes = self.composer, list(request.nodes)
        first = nodes[0] if nodes else None
        places: dict[str, Any] = {request.what: first} if request.what in ("after", "before", "into") and first else {}
        new = ""
        match request.action:
            case "add":
                new = self._add(request, first)
            case "remove":
                c.remove(*nodes)
            case "connect":
                c.connect(nodes[0], nodes[1], request.port)
                new = nodes[1]
            case "set":
                c.set(nodes[0], **{request.what: Code(request.text.strip())})
            case "rename":
                c.rename(nodes[0], request.text.strip())
            case "group":
                new = c.group(*nodes, kind=request.what or "Sequential")
            case "ungroup":
                c.ungroup(nodes[0])
            case "move":
                c.move(nodes[0], **({request.what: nodes[1]}))
                new = nodes[0]
            case "copy":
                return f"copied {', '.join(c.copy(*nodes))}"
            case "paste":
                new = c.paste(**places)
            case "code":
                c.code = request.text
            case "fix":
                problem = next((p for p in c.problems if p.node == first), None)
                return f"fixed: {c.fix(problem)}"
            case "undo":
                return f"undone: {c.undo()}"
            case "redo":
                return f"done again: {c.redo()}"
        if new:
            self.selected = new
        return self._words()

    def _add(self, request: messages.Compose, first: str | None) -> str:
        place = request.what if request.what in ("after", "before", "into") else "after"
        if request.what == "branch" and first is not None:
            return str(self.composer.add(request.text, to=first))
        return str(self.composer.add(request.text, **({place: first} if first is not None else {})))

    def _words(self) -> str:
        problems = self.composer.problems
        if problems:
            return f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: {problems[0].message}"
        return str(self.composer.report)

    # ---- state

    def _show(self) -> None:
        """Send the present state; what repairs the first problem follows, because it takes trying."""
        c = self.composer
        snapshot = check(c.graph)
        problems = [all_shown(_plain(p)) for p in c.problems[:MOST_SHOWN]]
        known = {n["id"] for n in snapshot["nodes"]}
        if self.selected not in known:
            self.selected = self._neighbour(known)
        with self.hold_sync():
            self.graph, self.source, self.wrong = dict(snapshot), c.code, problems
            self.told = shown(self._words(), LONGEST)
            self.spans = c.spans
            self.history = [c.undoable[0] if c.undoable else "", c.redoable[0] if c.redoable else ""]
            self._select()
        if problems:
            fixes = [c.fix_for(p) for p in c.problems[:1]]
            self.wrong = [p | {"fix": fixes[i].label if i < len(fixes) and fixes[i] is not None else ""}  # type: ignore[union-attr]
                          for i, p in enumerate(problems)]  # fmt: skip

    def _neighbour(self, known: AbstractSet[str]) -> str:
        """Where the selection goes when its node is gone: to what stands before it in the code."""
        gone = self.spans.get(self.selected)
        if gone is None:
            return ""
        before = [(start, -end, uid) for uid, (start, end) in self.composer.spans.items()
                  if uid in known and start <= gone[0]]  # fmt: skip
        return max(before)[2] if before else ""

    def _select(self, _change: object = None) -> None:
        """Send the parameters of the selected node; none where there is no such node."""
        form: dict[str, Any] = {}
        with self.answering():
            form = self.composer.form(self.selected) if self.selected else {}
        self.form_shown = form | {key: shown(form[key]) for key in ("title", "name") if key in form}


def _plain(problem: Problem) -> dict[str, Any]:
    return {
        "message": problem.message[:LONGEST], "node": problem.node, "edge": list(problem.edge or ()), "fix": "",
        "start": problem.start, "end": problem.end,
    }  # fmt: skip

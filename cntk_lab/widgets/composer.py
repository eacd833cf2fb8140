"""The composer on the screen: palette, canvas, parameter form and code beside each other, in step.

Shows a :class:`~cntk_lab.composer.Composer` and passes on what the browser asks for; it decides nothing about
programs. State that Python owns: everything but ``selected``, which both may change. Zoom, the search in the palette
and code that is being typed belong to the browser.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final

import traitlets

from cntk_lab._words import all_shown, shown
from cntk_lab.composer import MODEL_FILES, Composer, Problem, Report, palette, templates
from cntk_lab.errors import FormatError, GraphError
from cntk_lab.graph.function import Function
from cntk_lab.widgets import _messages as messages
from cntk_lab.widgets import display
from cntk_lab.widgets._base import LabWidget
from cntk_lab.widgets._snapshot import check

MOST_SHOWN: Final = 50
"""Problems that are sent to the browser."""
LONGEST: Final = 2000
"""Characters of a message that are sent; what is longer is cut behind a word."""
LONGEST_COPY: Final = 1_000_000
"""Characters of layers that are copied."""


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
    ``rename``, ``group``, ``ungroup``, ``move``, ``name``, ``copy``, ``paste``, ``duplicate``, ``insert``, ``fix``,
    ``undo``, ``redo``, ``begin``, ``load``, ``save``.

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
    templates: traitlets.List[Any] = traitlets.List().tag(sync=True)
    costs = traitlets.Dict().tag(sync=True)
    total = traitlets.Dict().tag(sync=True)
    unused: traitlets.List[Any] = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)

    def __init__(self, model: Function | str | os.PathLike[str] | Composer | None = None) -> None:
        self.composer = model if isinstance(model, Composer) else Composer(model)
        self._saved: set[Path] = set()
        super().__init__(
            palette=[{k: e[k] for k in ("path", "name", "category", "group", "summary")} for e in palette()],
            templates=[{"name": t.name, "title": t.title, "summary": t.summary} for t in templates()],
        )
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
    load = _delegated("load")
    training_cell = _delegated("training_cell")
    begin = _delegated("begin")
    insert = _delegated("insert")
    duplicate = _delegated("duplicate")
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
        return messages.Done("done", shown(self._edit(request), LONGEST_COPY, lines=True))

    def _edit(self, request: messages.Compose) -> str:
        """Carry out a request; words for the user."""
        c, nodes = self.composer, list(request.nodes)
        first = nodes[0] if nodes else None
        match request.action:
            case "remove":
                c.remove(*nodes)
            case "set":
                c.set(nodes[0], **{request.what: request.text})
            case "rename":
                c.rename(nodes[0], request.text.strip())
            case "ungroup":
                c.ungroup(nodes[0])
            case "copy":
                return ",\n".join(c.copy(*nodes))
            case "code":
                c.code = request.text
            case "begin":
                c.begin(request.text)
            case "open":
                c.load(self._file(request.text))
            case "train":
                return c.training_cell(self._name())
            case "save":
                return self._save(request)
            case "fix":
                return self._fix(first, deleting=request.what == "deleting")
            case "undo":
                return f"undone: {c.undo()}"
            case "redo":
                return f"done again: {c.redo()}"
            case _:
                if new := self._new(request, first):
                    self.selected = new
        return self._words()

    def _new(self, request: messages.Compose, first: str | None) -> str:
        """Carry out a request that makes a node, or after which one is to be selected; its id."""
        c, nodes = self.composer, list(request.nodes)
        places: dict[str, Any] = {request.what: first} if request.what in ("after", "before", "into") and first else {}
        match request.action:
            case "add":
                return self._add(request, first)
            case "insert":
                return str(c.insert(request.text, nodes[0], nodes[1]))
            case "connect":
                c.connect(nodes[0], nodes[1], request.port)
                return nodes[1]
            case "group":
                return str(c.group(*nodes, kind=request.what or "Sequential"))
            case "move":
                c.move(nodes[0], **{request.what: nodes[1]})
                return nodes[0]
            case "duplicate":
                return str(c.duplicate(*nodes))
            case _:
                return str(c.paste(**places, code=request.text))

    def _add(self, request: messages.Compose, first: str | None) -> str:
        place = request.what if request.what in ("after", "before", "into") else "after"
        if request.what == "branch" and first is not None:
            return str(self.composer.add(request.text, to=first))
        return str(self.composer.add(request.text, **({place: first} if first is not None else {})))

    def _fix(self, node: str | None, *, deleting: bool) -> str:
        """Repair the problem of a node, or the first one; then the next problem is shown."""
        c = self.composer
        done = c.fix(next((p for p in c.problems if p.node == node), None), deleting=deleting)
        if c.problems:
            self.selected = c.problems[0].node
            return f"fixed: {done}; next: {c.problems[0].message}"
        return f"fixed: {done}"

    def _name(self) -> str:
        """An expression of the notebook that gives the network: by the variable that holds this composer."""
        names = vars(sys.modules["__main__"]).items()
        found = next((n for n, v in names if v is self and not n.startswith("_")), None)
        if found is None:
            raise GraphError("no variable of the notebook holds this composer", fix="composer = lab.compose(...)")
        return f"{found}.model"

    def _file(self, name: str) -> Path:
        """A file that the browser may name: beneath the folder that the kernel works in, of a kind that is known.

        Raises:
            FormatError: if it lies elsewhere, or its name does not say what it is.
        """
        path = Path(name.strip())
        kinds = (".py", *MODEL_FILES)
        if path.suffix not in kinds:
            words = f"{shown(name, 60)!r}: a file of this kind cannot be composed"
            raise FormatError(words, fix=f"its name ends with {', '.join(kinds)}")
        folder = Path.cwd().resolve()
        if not (folder / path).resolve().is_relative_to(folder):
            words = f"{shown(name, 60)!r} is not beneath {folder}"
            raise FormatError(words, fix="name a file of this folder, or use Python")
        return path

    def _save(self, request: messages.Compose) -> str:
        path = self._file(request.text)
        if path.exists() and request.what != "replace" and path not in self._saved:
            raise FormatError(f"{path} exists already", fix="choose another name, or press Replace")
        self.composer.save(path)
        self._saved.add(path)
        return f"saved {'the program' if path.suffix == '.py' else 'the network with its weights'} as {path}"

    def _words(self) -> str:
        problems = self.composer.problems
        if problems:
            return f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: {problems[0].message}"
        return self.composer.report.brief()

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
            self.told = shown(within(self._words(), LONGEST), LONGEST + 1)
            self.costs, self.total, self.unused = c.costs, c.total, list(c.unused)
            self.spans = c.spans
            self.history = [c.undoable[0] if c.undoable else "", c.redoable[0] if c.redoable else ""]
            self._select()
        if problems:
            first = c.problems[0]
            fixes = {"fix": c.fix_for(first), "removal": c.fix_for(first, deleting=True)}
            found = {kind: shown(fix.label) if fix is not None else "" for kind, fix in fixes.items()}
            self.wrong = [problems[0] | found, *problems[1:]]

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
        "message": within(problem.message, LONGEST), "node": problem.node, "edge": list(problem.edge or ()), "fix": "",
        "removal": "", "start": problem.start, "end": problem.end,
    }  # fmt: skip


def within(words: str, most: int) -> str:
    """Words that are not too many: what is too long ends behind a whole one."""
    return words if len(words) <= most else f"{words[:most].rsplit(' ', 1)[0]} …"

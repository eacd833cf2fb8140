"""What a kernel holds: its models and its runs as plain data, for the sidebar of JupyterLab and for ``print``.

The sidebar asks by calling :func:`inventory` in the kernel, and only if the user has imported ``cntk_lab``; it names
things by the numbers given here, never by words of a model. Nothing is computed and nothing is changed by looking.
ipywidgets is touched only when something is shown.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from cntk_lab._words import shown
from cntk_lab.errors import AttributeValueError
from cntk_lab.events import BUS, RunChanged
from cntk_lab.graph.function import Function
from cntk_lab.tensor.shape import size
from cntk_lab.widgets._visible import AXIS_NAMES, shape_text

if TYPE_CHECKING:
    from cntk_lab.train._run import Run

MIME: Final = "application/vnd.cntk.inventory+json"
TARGET: Final = "cntk-lab-runs"
"""Of the comm on which runs are told to the sidebar."""
MOST: Final = 200
"""Models, and runs, that are listed."""
MOST_IN_LIST: Final = 16
"""Elements of a list or tuple of the user's that are looked at."""
LONGEST_NAME: Final = 120
SECONDS: Final = 0.5
"""Between two reports on the comm."""

_numbers = itertools.count(1)
_number: weakref.WeakKeyDictionary[Function, int] = weakref.WeakKeyDictionary()
_function: weakref.WeakValueDictionary[int, Function] = weakref.WeakValueDictionary()
_counted: weakref.WeakKeyDictionary[Function, int] = weakref.WeakKeyDictionary()
_views: dict[int, Any] = {}
_reporter: list[_Reporter] = []


@dataclass(frozen=True, slots=True)
class Model:
    """A function that the user has under one or several names: what it is, and what comes out of it. ``parameters`` is
    None while shapes are open, as those of a layer that is not applied yet.
    """

    number: int
    names: tuple[str, ...]
    name: str
    kind: str
    parameters: int | None
    shape: str
    axes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run that has a monitor: where it is. ``loss`` is None before the first step and where it is not finite."""

    number: int
    name: str
    status: str
    step: int
    loss: float | None
    metric: float | None
    progress: float | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """Models and runs of a kernel; ``more`` were left out."""

    models: tuple[Model, ...]
    runs: tuple[RunLine, ...]
    more: int

    def __str__(self) -> str:
        lines = [
            f"{', '.join(m.names)}: {m.kind}, {_count_text(m.parameters)}, {' '.join((*m.axes, m.shape))}"
            for m in self.models
        ]
        for run in self.runs:
            loss = "" if run.loss is None else f", loss {run.loss:.4g}"
            lines.append(f"{run.name}: {run.status}, step {run.step:,}{loss}")
        if self.more:
            lines.append(f"and {self.more} more")
        return "\n".join(lines) or "no models and no runs"

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, Any]:
        return {"text/plain": str(self), MIME: asdict(self)}


def inventory(names: Mapping[str, Any] | None = None, *, watch: bool = False) -> Inventory:
    """The models that a user has under a name, and the runs that have a monitor.

    Args:
        names: name -> object; None for the notebook's own names. Functions in short lists and tuples count too.
        watch: whether runs are told from now on over a comm, at most twice a second, as the sidebar asks for.

    Returns:
        Models in the order of their names, runs in the order of their beginning; at most 200 of each.

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(3)
        >>> [(m.names, m.kind, m.shape) for m in inventory({"double": 2 * x, "count": 3}).models]
        [(('double',), 'ElementTimes', '3')]
    """
    if watch:
        _watch()
    held = _held(_names() if names is None else names)
    found = [(function, tuple(known)) for function, known in held.values()]
    runs = _runs()
    models = tuple(_model(function, known) for function, known in found[:MOST])
    return Inventory(models, tuple(map(_run_line, runs[-MOST:])), max(0, len(found) - MOST) + max(0, len(runs) - MOST))


def show_model(number: int) -> None:
    """Show the live graph of a listed model here; the same view when it is asked for again.

    Args:
        number: as :func:`inventory` gives it.

    Raises:
        AttributeValueError: if there is no such model, or it is gone.
        NotAvailableError: if ipywidgets and anywidget are missing, or the front end was not built.
    """
    from IPython.display import display

    function = _function.get(number)
    if function is None:
        raise AttributeValueError(f"there is no model {number} any more", fix="choose one that is listed")
    if number not in _views:
        from cntk_lab.widgets.of_function import view_of

        _views[number] = view_of(function)
    display(_views[number])


def show_run(number: int) -> None:
    """Show the monitor of a listed run here, beside those that show it already.

    Args:
        number: of the run.

    Raises:
        AttributeValueError: if no monitor has this run.
    """
    from IPython.display import display

    for monitor in _monitors():
        if any(run.number == number for run in monitor.shown_runs):
            # the monitor's own display stays the one that gets the final picture
            data, metadata = monitor._repr_mimebundle_()
            display(data, metadata=metadata, raw=True)
            return
    raise AttributeValueError(f"there is no run {number} with a monitor", fix="choose one that is listed")


def close(number: int) -> None:
    """Forget the view of a model that :func:`show_model` showed.

    Args:
        number: of the model; nothing happens if it was not shown.
    """
    view = _views.pop(number, None)
    if view is not None:
        view.close()


# ---------------------------------------------------------------------------------------------------------------------


def _names() -> Mapping[str, Any]:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return {}
    hidden = shell.user_ns_hidden
    return {n: v for n, v in list(shell.user_ns.items()) if n not in hidden and n not in {"In", "Out"}}


def _held(names: Mapping[str, Any]) -> dict[int, tuple[Function, list[str]]]:
    """Every function once, with all its names."""
    held: dict[int, tuple[Function, list[str]]] = {}
    for name, value in names.items():
        if not name.startswith("_"):
            for known, function in _functions(name, value):
                held.setdefault(id(function), (function, []))[1].append(known)
    return held


def _functions(name: str, value: Any) -> Iterator[tuple[str, Function]]:
    if isinstance(value, Function):
        yield name, value
    elif type(value) in {list, tuple}:
        for i, inner in enumerate(value[:MOST_IN_LIST]):
            if isinstance(inner, Function):
                yield f"{name}[{i}]", inner


def _model(function: Function, known: tuple[str, ...]) -> Model:
    if function not in _number:
        _number[function] = next(_numbers)
    number = _number[function]
    _function[number] = function
    variable = function.outputs[0]
    shape, axes = variable.type.shape, variable.type.axes
    more = len(function.outputs) - 1
    words = "?" if shape is None else shape_text(shape)
    return Model(
        number=number,
        names=tuple(_short(name) for name in known[:MOST_IN_LIST]),
        name=_short(function.name),
        kind=_short(function.node.op_name),
        parameters=_parameters(function),
        shape=f"{words} and {more} more" if more else words,
        axes=tuple(_short(AXIS_NAMES.get(a.short, a.short)) for a in axes or ()),
    )


def _parameters(function: Function) -> int | None:
    """Numbers that are trained; remembered once no shape is open any more."""
    if function not in _counted:
        shapes = [p.type.shape for p in function.parameters]
        known = [s for s in shapes if s is not None and all(d >= 0 for d in s)]
        if len(known) < len(shapes) or function.placeholders:
            return None
        _counted[function] = sum(size(s) for s in known)
    return _counted[function]


def _count_text(count: int | None) -> str:
    return "parameters not known yet" if count is None else f"{count:,} parameters"


def _short(text: str) -> str:
    return shown(text, LONGEST_NAME)


def _monitors() -> list[Any]:
    module = sys.modules.get("cntk_lab.widgets.monitor")
    return [] if module is None else module.open_monitors()


def _runs() -> list[Run]:
    runs = {run.number: run for monitor in _monitors() for run in monitor.shown_runs}
    return [runs[number] for number in sorted(runs)]


def _run_line(run: Run) -> RunLine:
    history = run.history
    metric = history.metric[-1] if history.step and history.has_metric else None
    return RunLine(
        number=run.number,
        name=_short(run.name),
        status=run.status,
        step=run.step,
        loss=_finite(history.loss[-1] if history.step else None),
        metric=_finite(metric),
        progress=run.progress,
    )


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and abs(value) < float("inf") else None


class _Reporter:
    """Tells the sidebar of runs while they go on, also while a cell keeps the kernel busy."""

    def __init__(self) -> None:
        from comm import create_comm

        from cntk_lab.widgets._base import Throttle

        self._comm = create_comm(target_name=TARGET)
        self._throttle = Throttle(lambda _event: self.tell(), SECONDS)
        self._unsubscribe: Callable[[], None] = BUS.subscribe(RunChanged, self._throttle.put)
        self._comm.on_close(lambda _message: self._unsubscribe())

    def tell(self) -> None:
        self._comm.send({"runs": [asdict(_run_line(run)) for run in _runs()[-MOST:]]})

    def close(self) -> None:
        self._unsubscribe()
        self._throttle.flush()
        self._comm.close()


def _watch() -> None:
    """Open the comm, in place of the one there was: a page that was loaded anew knows nothing of that."""
    while _reporter:
        _reporter.pop().close()
    _reporter.append(_Reporter())

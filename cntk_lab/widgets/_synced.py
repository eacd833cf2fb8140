"""What the synced state of every widget looks like: the source of ``src/protocol/state.ts``.

Python owns all of it but ``opened`` and ``selected``, which either side sets. Classes here are only descriptions:
traits hold plain dictionaries and lists, and a test sees that what widgets hold fits. ``python -m
cntk_lab.widgets._synced`` writes the TypeScript; a test holds the two in step.

Knows no widget. Idea: as with the messages, one declaration for both sides.
"""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypedDict, Union

TYPESCRIPT: Final = Path(__file__).parents[2] / "extension" / "src" / "protocol" / "state.ts"
NOTHING: Final = "or an empty dictionary"
"""Mark of a dictionary that may be empty."""

# ---- the graph view


class Overlay(TypedDict):
    """A number for each node, to be painted on it; by unique name, null where it is not finite."""

    unit: str
    together: Literal["sum", "mean", "max", "min"]
    values: dict[str, float | None]


class Fed(TypedDict):
    """Where a fed sample is."""

    at: str
    number: int
    count: int
    frame: int
    frames: int
    random: bool


class GraphViewState(TypedDict):
    """The graph view: a snapshot, what is painted on it, what is open, where a fed sample is, what can be asked."""

    graph: object
    overlays: dict[str, Overlay]
    opened: list[str]
    selected: str
    fed: Annotated[Fed, NOTHING]
    feeds: bool
    live: bool


# ---- the composer


class PaletteEntry(TypedDict):
    """What can be added; ``group`` says what sort of thing it is: its colour and its sign."""

    path: str
    name: str
    category: str
    group: str
    summary: str


class Template(TypedDict):
    """A network to begin with."""

    name: str
    title: str
    summary: str


class Cost(TypedDict):
    """What a node, or the whole network, costs for one sample."""

    parameters: int
    operations: int
    bytes: int


class Problem(TypedDict):
    """What is wrong, where, and how it is mended: ``removal`` by taking something away."""

    message: str
    node: str
    edge: list[str]
    fix: str
    removal: str
    start: int
    end: int


class FormField(TypedDict):
    """One argument: ``value`` is code, empty where the default holds; ``words`` is how it is shown and written."""

    name: str
    value: str
    words: str
    default: str
    otherwise: str
    required: bool
    kind: Literal["shape", "number", "integer", "flag", "choice", "text", "code"]
    choices: list[tuple[str, str]]
    unit: str
    help: str


class Form(TypedDict):
    """The arguments of the selected node."""

    node: str
    title: str
    name: str
    summary: str
    variable: str
    fields: list[FormField]


class ComposerState(TypedDict):
    """The composer: graph, program and problems after each edit, and what is offered."""

    graph: object
    source: str
    wrong: list[Problem]
    told: str
    form_shown: Annotated[Form, NOTHING]
    spans: dict[str, list[int]]
    history: list[str]
    palette: list[PaletteEntry]
    templates: list[Template]
    costs: dict[str, Cost]
    total: Annotated[Cost, NOTHING]
    unused: list[str]
    selected: str


# ---- the monitor


class RunState(TypedDict):
    """What the kernel tells of a run, beside its curves; the kernel's methods are for the run that is ``main``."""

    number: int
    name: str
    parent: str
    forkedAt: int
    hasMetric: bool
    steered: bool
    main: bool
    status: Literal["ready", "running", "paused", "stopped", "finished", "failed", "read"]
    step: int
    epoch: int
    progress: float | None
    remaining: float | None
    seconds: float
    speed: float | None
    memory: float | None
    learningRate: float | None
    momentum: float | None


class Details(TypedDict):
    """What changes seldom: (step, loss, metric), (step, kind, value), (step, kind, words, node)."""

    validation: list[tuple[int, float | None, float | None]]
    changes: list[tuple[int, str, float]]
    findings: list[tuple[int, str, str, str]]


class MonitorState(TypedDict):
    """The training monitor: runs, their details by number, and the last word to the user."""

    runs: list[RunState]
    details: dict[str, Details]
    notice: str


# ---- the reader preview


class StreamState(TypedDict):
    """One stream of a minibatch."""

    name: str
    form: str
    shape: list[int]
    dtype: str
    storage: str
    shortest: int
    longest: int
    notFinite: int


class Picture(TypedDict):
    """Bytes of an image, row by row; what a byte of 0 and of 255 stand for, whether they are the very values; its size
    before it was thinned.
    """

    width: int
    height: int
    channels: int
    pixels: bytes
    black: float
    white: float
    exact: bool
    fullWidth: int
    fullHeight: int
    words: str


class PictureCell(Picture):
    """A value drawn as an image, or in colours for numbers."""

    form: Literal["image", "heat"]


class CurveCell(TypedDict):
    """A value drawn as a curve."""

    form: Literal["curve"]
    low: float
    high: float
    points: list[float]
    words: str


class TokensCell(TypedDict):
    """A sequence of words."""

    form: Literal["tokens"]
    tokens: list[str]
    more: int
    words: str


class SparseFrame(TypedDict):
    """The stored numbers of a frame, by name; null where one is not finite."""

    entries: list[tuple[str, float | None]]
    more: int


class SparseCell(TypedDict):
    """Stored numbers of sparse frames."""

    form: Literal["sparse"]
    frames: list[SparseFrame]
    more: int
    words: str


class NumbersCell(TypedDict):
    """Numbers in rows."""

    form: Literal["numbers"]
    rows: list[list[float | None]]
    more: int
    words: str


class NoCell(TypedDict):
    """Nothing to draw."""

    form: Literal["none"]
    words: str


Cell = PictureCell | CurveCell | TokensCell | SparseCell | NumbersCell | NoCell


class Item(TypedDict):
    """A sequence: a cell for each stream."""

    name: str
    cells: list[Cell]


class Content(TypedDict):
    """A minibatch: ``shuffles`` if its source has another order than the one shown, ``follows`` if it is known where
    training is, defects as (place, cause, all words), and the streams whose transforms can be shown (``steps``).
    """

    number: int
    samples: int
    sequences: int
    sweep: int | None
    endsSweep: bool
    leftOut: int
    more: int
    streams: list[StreamState]
    items: list[Item]
    size: int
    order: str
    total: int | None
    last: bool
    shuffles: bool
    follows: bool
    defects: list[tuple[str, str, str]]
    steps: list[str]


class TracedStep(PictureCell):
    """What a transform made, and what it drew by lot."""

    kind: str
    draws: list[str]


class TracedStream(TypedDict):
    """The transforms of one stream."""

    name: str
    steps: list[TracedStep]


class Traced(TypedDict):
    """The way of one sequence through the transforms."""

    sequence: int
    name: str
    streams: list[TracedStream]


class MeasuredStream(TypedDict):
    """Statistics of the numbers of one stream, and of the lengths of its sequences."""

    name: str
    shortest: int
    longest: int
    low: float
    high: float
    mean: float
    not_zero: float
    not_finite: int
    classes: list[tuple[str, int]]
    classCount: int
    balance: list[str]


class Measured(TypedDict):
    """Statistics of a source."""

    lengths: list[int]
    edges: list[float]
    shortest: int
    longest: int
    mean: float
    waste: float
    lengths_basis: str
    basis: str
    streams: list[MeasuredStream]


class Match(TypedDict):
    """Whether an input of the model gets what it expects; ``uid`` is that of the input."""

    uid: str
    input: str
    stream: str
    expects: str
    arrives: str
    state: Literal["fits", "wrong", "unused"]
    problem: str
    fix: str


class PreviewState(TypedDict):
    """The reader preview: the page, the way through transforms, statistics, and what the model says to the streams."""

    content: Content
    traced: Annotated[Traced, NOTHING]
    measured: Annotated[Measured, NOTHING]
    matched: list[Match]


STATES: Final[dict[str, Any]] = {
    "GraphView": GraphViewState,
    "GraphComposer": ComposerState,
    "TrainingMonitor": MonitorState,
    "ReaderPreview": PreviewState,
}
"""Class of a widget -> its state."""

_WORDS: Final = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


def typescript() -> str:
    """The TypeScript of every state."""
    out = ["// Generated by `python -m cntk_lab.widgets._synced` from cntk_lab/widgets/_synced.py; do not edit.", ""]
    for name, found in globals().items():
        if typing.is_typeddict(found):
            out += [f"/** {' '.join((found.__doc__ or '').split())} */", f"export interface {name} {{"]
            hints = typing.get_type_hints(found, include_extras=True)
            out += [f"  {field}: {_type(type_)};" for field, type_ in hints.items()]
            out += ["}", ""]
    return "\n".join([*out, f"export type Cell = {_type(Cell, named=False)};"]) + "\n"


def _type(type_: Any, *, named: bool = True) -> str:
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if type_ == Cell and named:
        return "Cell"
    if origin is Annotated:
        return f"Partial<{_type(arguments[0])}>"
    if origin is list:
        inner = _type(arguments[0])
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if origin is tuple:
        return f"[{', '.join(map(_type, arguments))}]"
    if origin is dict:
        return f"Record<string, {_type(arguments[1])}>"
    if origin is Literal:
        return " | ".join(f"'{value}'" for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(map(_type, arguments))
    if typing.is_typeddict(type_):
        return str(type_.__name__)
    return {object: "unknown", bytes: "DataView", **_WORDS}[type_]


def misfit(value: Any, type_: Any, where: str = "") -> str:
    """Where a value is not what a state says, in words; empty if it fits.

    Args:
        value: what a widget holds.
        type_: a description of this module.
        where: the place, for the words.
    """
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is Annotated:
        return "" if value == {} else misfit(value, arguments[0], where)
    if origin in (Union, types.UnionType):
        found = [misfit(value, a, where) for a in arguments]
        return "" if "" in found else found[0]
    parts: list[tuple[Any, Any, Any]] = []
    if typing.is_typeddict(type_) and isinstance(value, dict):
        hints = typing.get_type_hints(type_, include_extras=True)
        if odd := hints.keys() ^ value.keys():
            return f"{where}: {type_.__name__} and what is there differ in {sorted(odd)}"
        parts = [(value[name], hint, name) for name, hint in hints.items()]
    elif origin is list and isinstance(value, (list, tuple)):
        parts = [(v, arguments[0], i) for i, v in enumerate(value)]
    elif origin is tuple and isinstance(value, (list, tuple)) and len(value) == len(arguments):
        parts = [(v, a, i) for i, (v, a) in enumerate(zip(value, arguments, strict=True))]
    elif origin is dict and isinstance(value, dict):
        parts = [(v, arguments[1], name) for name, v in value.items()]
    elif not _is(value, type_):
        return f"{where}: {value!r:.60} is no {getattr(type_, '__name__', type_)}"
    return next(filter(None, (misfit(v, t, f"{where}.{name}") for v, t, name in parts)), "")


def _is(value: Any, type_: Any) -> bool:
    if typing.get_origin(type_) is Literal:
        return value in typing.get_args(type_)
    if type_ in (int, float):
        return isinstance(value, (int, type_)) and not isinstance(value, bool)
    return isinstance(type_, type) and not typing.is_typeddict(type_) and isinstance(value, type_)


if __name__ == "__main__":
    TYPESCRIPT.write_text(typescript(), encoding="utf-8")

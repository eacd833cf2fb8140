"""Every message between kernel and browser, as frozen dataclasses; the source of ``src/protocol/messages.ts``.

A *request* goes from the browser to the kernel and gets one *reply*; both travel as custom messages of the widget, in
an envelope with a number. Synced state (traits) is not here. ``python -m cntk_lab.widgets._messages`` writes the
TypeScript; a test holds the two in step.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Union

from cntk_lab._words import LONGEST_ERROR, shown
from cntk_lab.errors import FormatError

TYPESCRIPT: Final = Path(__file__).parents[2] / "extension" / "src" / "protocol" / "messages.ts"


LARGEST_NUMBER: Final = 1 << 53
"""Beyond it a browser's numbers are not whole any more; infinity and NaN are none."""
LONGEST_TEXT: Final = 500_000
"""Characters of a text from a browser."""
MOST_ENTRIES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the numbers of one array look like."""

    name: str
    shape: list[int]
    dtype: str
    count: int
    low: float | None
    high: float | None
    mean: float | None
    deviation: float | None
    zeros: int
    not_finite: int
    histogram: list[int]
    image: list[list[float]]


@dataclass(frozen=True, slots=True)
class Inspect:
    """Asked: the values of a node's parameters as they are now."""

    kind: Literal["inspect"]
    uid: str


@dataclass(frozen=True, slots=True)
class Inspected:
    """Answered: statistics of each parameter."""

    kind: Literal["inspected"]
    uid: str
    arrays: list[Statistics]


@dataclass(frozen=True, slots=True)
class Export:
    """Asked: the graph as a file that only the kernel can write."""

    kind: Literal["export"]
    form: Literal["pdf"]
    opened: list[str]


@dataclass(frozen=True, slots=True)
class Exported:
    """Answered: the file, in base64."""

    kind: Literal["exported"]
    form: Literal["pdf"]
    content: str


@dataclass(frozen=True, slots=True)
class Act:
    """Asked: that a run does something; ``step`` is how many for "step", where to for "rewind" and "fork"."""

    kind: Literal["act"]
    run: int
    action: Literal["pause", "resume", "step", "stop", "rewind", "fork", "checkpoint", "rate"]
    step: int


@dataclass(frozen=True, slots=True)
class SetRate:
    """Asked: another learning rate or momentum from the next minibatch on."""

    kind: Literal["set"]
    run: int
    what: Literal["learning_rate", "momentum"]
    value: float


@dataclass(frozen=True, slots=True)
class ShowAll:
    """Asked: the curves of all runs from their beginning; they come as messages of their own."""

    kind: Literal["all"]


@dataclass(frozen=True, slots=True)
class Feed:
    """Asked: to go on in a sample that is fed: ``nodes`` and ``frames`` forwards or back; "begin" feeds random numbers
    where there is no sample, "end" takes it away.
    """

    kind: Literal["feed"]
    what: Literal["begin", "go", "end"]
    nodes: int
    frames: int


@dataclass(frozen=True, slots=True)
class Browse:
    """Asked: another minibatch of a preview ("go" to ``number``, "training": where training is, "order": as training
    sees them, "size": ``number`` samples), "steps" of the transforms of sequence ``number``, or "statistics".
    """

    kind: Literal["browse"]
    to: Literal["next", "previous", "go", "training", "order", "size", "steps", "statistics"]
    number: int


@dataclass(frozen=True, slots=True)
class Compose:
    """Asked: an edit of a composer's program. ``what`` is a parameter, a kind of group, or a place ("after", "before",
    "into", "branch"), for a fix "deleting", for a file that may be replaced "replace"; ``text`` is an entry of the
    palette, a value, layers to paste, the name of a template or file, or the whole program.
    """

    kind: Literal["compose"]
    action: Literal[
        "add", "remove", "connect", "set", "rename", "group", "ungroup", "move", "copy", "paste", "code", "fix", "undo",
        "redo", "duplicate", "insert", "begin", "open", "save", "train",
    ]  # fmt: skip
    nodes: list[str]
    what: str
    text: str
    port: int


@dataclass(frozen=True, slots=True)
class Done:
    """Answered: it was done, or begun; with words for the user where there is something to say."""

    kind: Literal["done"]
    message: str


@dataclass(frozen=True, slots=True)
class Curve:
    """Told without being asked: a piece of a run's curves. The buffer holds float32 loss, then metric, of ``count``
    buckets of ``width`` steps each, the first of which is number ``first``; what was known from there on is replaced.
    """

    kind: Literal["curve"]
    run: int
    width: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Answered: why a request cannot be met, in words for the user."""

    kind: Literal["failed"]
    message: str


Request = Inspect | Export | Act | SetRate | ShowAll | Browse | Feed | Compose
Reply = Inspected | Exported | Done | Failed

REQUESTS: Final[dict[str, type[Inspect | Export | Act | SetRate | ShowAll | Browse | Feed | Compose]]] = {
    "inspect": Inspect, "export": Export, "act": Act, "set": SetRate, "all": ShowAll, "browse": Browse, "feed": Feed,
    "compose": Compose,
}  # fmt: skip


def number_of(content: Any) -> int:
    """The number of an envelope from a browser, to be given back; -1 if it has none that could be."""
    number = content.get("number") if isinstance(content, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and abs(number) < LARGEST_NUMBER else -1


def read_request(content: Any) -> tuple[int, Request]:
    """The number and the request in an envelope that came from a browser.

    Raises:
        FormatError: if it is no request of this protocol, or larger than any.
    """
    number = number_of(content)
    if number < 0:
        raise FormatError("a message from the browser carries no number")
    body = content.get("request")
    name = body.get("kind") if isinstance(body, dict) else None
    kind = REQUESTS.get(name) if isinstance(name, str) else None
    if kind is None or body is None:
        raise FormatError(f"a message from the browser asks for nothing known; there are: {', '.join(REQUESTS)}")
    types_ = typing.get_type_hints(kind)
    values = {field.name: body.get(field.name) for field in dataclasses.fields(kind)}
    for name, value in values.items():
        if not _fits(value, types_[name]):
            raise FormatError(f"a request {body['kind']!r} from the browser has a wrong {name!r}")
    return number, kind(**values)  # checked just above


def _fits(value: Any, type_: Any) -> bool:
    origin = typing.get_origin(type_)
    if origin is Literal:
        return isinstance(value, str) and value in typing.get_args(type_)
    if origin is list:
        inner = typing.get_args(type_)[0]
        return isinstance(value, list) and len(value) <= MOST_ENTRIES and all(_fits(entry, inner) for entry in value)
    if type_ in (int, float):  # a browser writes 1.0 as 1
        return isinstance(value, (int, type_)) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER
    if type_ is str:
        return isinstance(value, str) and len(value) <= LONGEST_TEXT
    return isinstance(value, type_)


def envelope(number: int, reply: Reply) -> dict[str, Any]:
    """A reply as it travels; words in it can be shown."""
    body = dataclasses.asdict(reply)
    if "message" in body:
        body["message"] = shown(body["message"], LONGEST_ERROR, lines=True)
    return {"number": number, "reply": body}


def typescript() -> str:
    """The TypeScript of every message."""
    out = [
        "// Generated by `python -m cntk_lab.widgets._messages` from cntk_lab/widgets/_messages.py; do not edit.",
        "",
    ]
    asked = (Inspect, Inspected, Export, Exported, Act, SetRate, ShowAll, Feed, Browse, Compose)
    for class_ in (Statistics, *asked, Done, Curve, Failed):
        out += [f"/** {' '.join((class_.__doc__ or '').split())} */", f"export interface {class_.__name__} {{"]
        out += [f"  {name}: {_type(type_)};" for name, type_ in typing.get_type_hints(class_).items()]
        out += ["}", ""]
    for name, union in (("Request", Request), ("Reply", Reply)):
        out.append(f"export type {name} = {' | '.join(member.__name__ for member in typing.get_args(union))};")
    return "\n".join(out) + "\n"


def _type(type_: Any) -> str:
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is list:
        return f"{_type(arguments[0])}[]"
    if origin is Literal:
        return " | ".join(f"'{value}'" for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(_type(argument) for argument in arguments)
    if dataclasses.is_dataclass(type_):
        return str(getattr(type_, "__name__", type_))
    return {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}[type_]


if __name__ == "__main__":
    TYPESCRIPT.write_text(typescript(), encoding="utf-8")

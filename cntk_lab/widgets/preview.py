"""The reader preview: the minibatches of a source, one by one, as a person would look at them.

Has pages of its own (``io._preview``), so that the source, its place and its order stay as they are. State that Python
owns: ``content`` (the page), ``traced`` (transforms of one sequence), ``measured`` (statistics), ``matched`` (streams
and a model's inputs), ``notice``; the browser's own: which part is open, the focus.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import traitlets

from cntk_lab._files import atomic_file
from cntk_lab._words import all_shown, shown
from cntk_lab.errors import AttributeValueError, FormatError
from cntk_lab.io._pages import Page, Pages
from cntk_lab.io._preview import pages_of
from cntk_lab.io._streams import StreamInformation
from cntk_lab.widgets import _messages as messages
from cntk_lab.widgets import _preview_picture as picture
from cntk_lab.widgets import _saved
from cntk_lab.widgets._base import LabWidget
from cntk_lab.widgets._preview_cells import FORMS, Look, cells_of, step_cell
from cntk_lab.widgets._preview_numbers import (
    MOST_CLASSES,
    SAMPLE,
    Input,
    Match,
    Numbers,
    balance,
    matches,
    numbers_of,
    plain,
    shape_words,
)
from cntk_lab.widgets._preview_tables import source_of

DEFAULT_SIZE: Final = 16
MOST_DEFECTS: Final = 20
LARGEST_VOCABULARY: Final = 64 << 20
"""Bytes of a vocabulary file, at most."""
MOST_SEEN: Final = 20
"""Minibatches that a notebook keeps of those looked at, the latest ones."""


class ReaderPreview(LabWidget):
    """A browser of minibatches: what a reader delivers, before anything is trained on it.

    Looking moves nothing: the source's place, its order and its random draws are the same with and without a preview.
    Only the shown minibatch is in memory.

    Args:
        source: a MinibatchSource, a deserializer or several, {name: array or list of sequences}, a source written in
            Python (it is copied), a function that makes one; or a table of numbers (pandas DataFrame, Arrow Table, path
            of a ``.parquet`` file), whose columns are the streams.
        inputs: of a model, to be checked against the streams.
        streams: input -> stream, where names do not say it.
        minibatch_size: samples in a minibatch; None: enough for about 16 sequences.
        vocabularies: per stream a list of words, or the path of a file with one word in a line.
        forms: per stream how it is shown: "image", "heat", "curve", "tokens", "sparse" or "numbers".
        shapes: per stream the shape in which its samples are images, as (28, 28) for 784 numbers.

    Raises:
        AttributeValueError: if the source is none, or a name or number cannot be.
        ReaderError: if the source cannot be read.

    Example:
        >>> import numpy as np
        >>> preview = ReaderPreview({"x": np.eye(4)}, minibatch_size=3)  # doctest: +SKIP
        >>> preview.next()  # doctest: +SKIP
        1
    """

    bundle_name = "preview"
    _closed = False

    content = traitlets.Dict().tag(sync=True)
    traced = traitlets.Dict().tag(sync=True)
    measured = traitlets.Dict().tag(sync=True)
    matched = traitlets.List(traitlets.Dict()).tag(sync=True)

    def __init__(
        self,
        source: Any,
        inputs: Sequence[Input] = (),
        streams: Mapping[str, str] | None = None,
        minibatch_size: int | None = None,
        vocabularies: Mapping[str, Sequence[str] | str | os.PathLike[str]] | None = None,
        forms: Mapping[str, str] | None = None,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self._pages: Pages = pages_of(source_of(source))
        names = [s.m_name for s in self._pages.streams]
        for given in (vocabularies, forms, shapes):
            for name in given or ():
                if name not in names:
                    raise AttributeValueError(f"there is no stream {name!r}", fix=f"one of: {', '.join(names)}")
        for name, form in (forms or {}).items():
            if form not in FORMS:
                raise AttributeValueError(
                    f"stream {name!r} cannot be shown as {form!r}", fix=f"one of: {', '.join(FORMS)}"
                )
        words = {name: _vocabulary(given) for name, given in (vocabularies or {}).items()}
        self._look = Look(dict(forms or {}), dict(shapes or {}), words, self._pages.blue_first)
        self._size = _enough(self._pages) if minibatch_size is None else _positive(minibatch_size)
        self._number = 0
        self._page: Page | None = None
        self._numbers: Numbers | None = None
        self._matches: list[Match] = []
        self._seen: dict[int, dict[str, Any]] = {}
        super().__init__()
        self._show(0)
        if inputs:
            self._check(inputs, streams or {})

    # --- the minibatch

    @property
    def number(self) -> int:
        """The number of the minibatch shown, from 0."""
        return self._number

    @property
    def minibatch_size(self) -> int:
        """Samples wanted in a minibatch."""
        return self._size

    @property
    def streams(self) -> tuple[StreamInformation, ...]:
        """What the source says of its streams."""
        return self._pages.streams

    @property
    def minibatch(self) -> dict[str, list[npt.NDArray[Any]]]:
        """The minibatch shown: per stream one array (frames x shape) for each sequence."""
        if self._page is None:
            return {}
        cut = {
            name: zip(d.starts[:-1].tolist(), d.starts[1:].tolist(), strict=True) for name, d in self._page.data.items()
        }
        return {name: [self._page.data[name].rows[a:b] for a, b in places] for name, places in cut.items()}

    def next(self) -> int:
        """Show the next minibatch; at the end, nothing changes.

        Returns:
            The number of the minibatch shown.
        """
        return self._show(self._number + 1)

    def previous(self) -> int:
        """Show the minibatch before; at the beginning, nothing changes.

        Returns:
            The number of the minibatch shown.
        """
        return self._show(max(0, self._number - 1))

    def go(self, number: int) -> int:
        """Show a minibatch by its number.

        Args:
            number: from 0; after the end nothing changes.

        Returns:
            The number of the minibatch shown.

        Raises:
            AttributeValueError: if the number is negative.
        """
        if number < 0:
            raise AttributeValueError(f"there is no minibatch {number}", fix="give a number from 0 on")
        return self._show(int(number))

    def resize(self, minibatch_size: int) -> int:
        """Begin anew with minibatches of another size.

        Args:
            minibatch_size: samples wanted in a minibatch.

        Returns:
            The number of the minibatch shown: 0.
        """
        self._size = _positive(minibatch_size)
        self._numbers = None
        self._seen.clear()
        self.measured = {}
        return self._show(0)

    def in_training_order(self) -> int:
        """Show minibatches in the order in which training sees them, from the first one on.

        A large source that shuffles is shown in the order of its data first: to shuffle a million sequences takes
        about two seconds.

        Returns:
            The number of the minibatch shown: 0.
        """
        self._pages.in_training_order()
        self._seen.clear()
        return self._show(0)

    def at_training(self) -> int:
        """Show the minibatch that training sees next, for minibatches of this size.

        Returns:
            The number of the minibatch shown.

        Raises:
            AttributeValueError: if there is no MinibatchSource whose place could be looked at.
        """
        number = self._pages.training(self._size)
        if number is None:
            raise AttributeValueError("it is not known where training is", fix="give the MinibatchSource it reads from")
        return self._show(number)

    def _show(self, number: int) -> int:
        if self._closed:
            raise AttributeValueError("the preview is closed", fix="make another one: lab.preview(source)")
        page = self._pages.page(number, self._size)
        if page is None and number:
            self.content = {**self.content, "last": True}
            return self._number
        self._page, self._number = page, number
        found = cells_of(page, self._pages.streams, self._look) if page is not None else _empty()
        defects = [[d.place, d.cause, d.words()] for d in self._pages.defects[:MOST_DEFECTS]]
        self.traced = {}
        self.content = all_shown({
            **found, "size": self._size, "order": self._pages.order, "total": self._pages.total, "last": False,
            "shuffles": self._pages.shuffles and self._pages.order == Pages.order, "defects": defects,
            "follows": self._pages.follows,
            "steps": [s.m_name for s in self._pages.streams if s.m_name in self._pages.blue_first],
        })  # fmt: skip
        self._seen.pop(number, None)
        self._seen[number] = self.content
        if len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return number

    # --- more about it

    def steps(self, sequence: int = 0) -> dict[str, list[tuple[str, tuple[str, ...], npt.NDArray[Any]]]]:
        """What each transform makes of a sequence of the minibatch shown, and what was drawn for it.

        Args:
            sequence: its place in the minibatch, from 0.

        Returns:
            Per stream (kind, what was drawn in words, image: rows x columns x channels, blue first) for each step; the
            first is the image as it is stored. Empty for streams without transforms.

        Raises:
            AttributeValueError: if the minibatch has no such sequence.
            ReaderError: if the image cannot be read.
        """
        page = self._page
        if page is None or not 0 <= sequence < len(page.names):
            count = 0 if page is None else len(page.names)
            raise AttributeValueError(
                f"the minibatch has no sequence {sequence}", fix=f"it has {count}, counted from 0"
            )
        found = self._pages.steps(page, sequence)
        streams = [{"name": name, "steps": [step_cell(s) for s in steps]} for name, steps in found.items()]
        self.traced = all_shown({"sequence": sequence, "name": page.names[sequence], "streams": streams})
        return {name: [(s.kind, s.draws, s.image) for s in steps] for name, steps in found.items()}

    def statistics(self, sample: int = SAMPLE) -> Numbers:
        """Lengths, padding, ranges and balance of classes; what they were counted from is said in them.

        Args:
            sample: sequences that ranges and classes are counted from, at most.

        Returns:
            ``Numbers``: ``lengths``, ``waste``, ``streams`` and more; ``words()`` says them.
        """
        numbers = self._numbers = numbers_of(self._pages, self._size, sample)
        streams = []
        for s in numbers.streams:
            most = sorted(range(len(s.classes)), key=lambda k: (-s.classes[k], k))[:MOST_CLASSES]
            named = [[self._look.word(s.name, k), s.classes[k]] for k in sorted(most)]
            entry = {
                **plain(s),
                "classes": named,
                "classCount": len(s.classes),
                "balance": balance(s.classes, numbers.basis),
            }
            streams.append(entry)
        self.measured = all_shown({**plain(numbers), "streams": streams})
        return numbers

    def check(self, model: Any, streams: Mapping[Any, str] | None = None) -> list[Match]:
        """Whether the streams fit the inputs of a model; what does not is drawn.

        Args:
            model: a Function.
            streams: {input or its name: stream}, where names and shapes do not say it.

        Returns:
            A ``Match`` for each input and each stream that no input takes: ``state`` is "fits", "wrong" or "unused",
            ``problem`` and ``fix`` say more.

        Raises:
            AttributeValueError: if there is no such input or stream.
        """
        from cntk_lab.widgets.of_function import inputs_of

        chosen = {str(getattr(key, "uid", key)): str(getattr(s, "m_name", s)) for key, s in (streams or {}).items()}
        return self._check(inputs_of(model), chosen)

    def _check(self, inputs: Sequence[Input], chosen: Mapping[str, str]) -> list[Match]:
        page = self._page
        lengths = {name: d.lengths.tolist() for name, d in page.data.items()} if page is not None else {}
        self._matches = matches(inputs, self._pages.streams, lengths, chosen)
        self.matched = all_shown([plain(m) for m in self._matches])
        return self._matches

    def save(self, path: str | Path) -> Path:
        """Write what is shown as an SVG picture; the file appears whole or not at all.

        Args:
            path: ends with .svg.

        Returns:
            The path of the file.

        Raises:
            FormatError: if the file name ends otherwise.
        """
        target = Path(path)
        if target.suffix.lower() != ".svg":
            raise FormatError(f"no picture of form {target.suffix!r}", where=str(target), fix="end the name with .svg")
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as file:
            file.write(picture.svg(self._lines(), self.content, self._matches).encode())
        return target

    def close(self) -> None:
        """Take the preview out of the notebook and give its memory back; the source stays as it is."""
        if "_pages" in self.__dict__:  # ipywidgets closes also what could not be made
            self._pages.close()
        self._page, self._closed = None, True
        super().close()

    # --- to the browser, and to places without one

    def answer(self, request: messages.Request) -> messages.Reply:
        """Do what a button asks for."""
        if not isinstance(request, messages.Browse):
            return super().answer(request)
        doings: dict[str, Callable[[], Any]] = {
            "next": self.next, "previous": self.previous, "go": lambda: self.go(request.number),
            "training": self.at_training, "order": self.in_training_order,
            "size": lambda: self.resize(request.number), "steps": lambda: self.steps(request.number),
            "statistics": self.statistics,
        }  # fmt: skip
        before = self._number
        doings[request.to]()
        at_end = request.to in ("next", "go") and self._number == before and request.number != before
        return messages.Done("done", "That was the last minibatch." if at_end else "")

    def static_forms(self) -> dict[str, Any]:
        """The page as SVG and text."""
        lines = self._lines()
        return {
            "text/plain": picture.text(lines, self.content, self._matches),
            "image/svg+xml": picture.svg(lines, picture.within(self.content), self._matches),
        }

    def saved_state(self) -> dict[str, Any]:
        """The page, without the buttons that need the source; as many of its sequences as there is room for."""
        return {**super().saved_state(), "content": _unsteered(_in_room(self.content))}

    def saved_pages(self) -> list[Any]:
        """The minibatches that were looked at."""
        return [_unsteered(_in_room(content)) for content in self._seen.values()]

    def _lines(self) -> list[str]:
        content = self.content
        head = f"minibatch {self._number}: {content['sequences']} sequences, {content['samples']} samples"
        lines = [head + (f", {content['leftOut']} left out" if content["leftOut"] else "")]
        for s in content["streams"]:
            spread = f"{s['shortest']}" if s["shortest"] == s["longest"] else f"{s['shortest']} to {s['longest']}"
            lines.append(
                f"{s['name']}: {s['storage']} {s['dtype']}, {shape_words(s['shape'])}, {spread} samples a sequence"
            )
        if self._numbers is not None:
            lines += map(shown, self._numbers.words())
            lines += [f"lengths: {picture.bars(self._numbers)}"] if self._numbers.longest > 1 else []
        lines += [f"{place}: {cause}" for place, cause, _ in content["defects"]]
        return lines


def _unsteered(content: dict[str, Any]) -> dict[str, Any]:
    """A page for a place without source."""
    return {**content, "steps": [], "follows": False, "shuffles": False}


def _in_room(content: dict[str, Any]) -> dict[str, Any]:
    """A page with so many of its first sequences as a saved view has room for; it says how many more there are."""
    items = content["items"]
    room, fits = _saved.MOST_BYTES // 2, 0
    for item in items:
        room -= _saved.length(item)
        if room < 0:
            break
        fits += 1
    return {**content, "items": items[:fits], "more": content["more"] + len(items) - fits}


def _empty() -> dict[str, Any]:
    return {
        "number": 0, "samples": 0, "sequences": 0, "sweep": None, "endsSweep": False, "leftOut": 0, "more": 0,
        "streams": [], "items": [],
    }  # fmt: skip


def _enough(pages: Pages) -> int:
    """Samples for about 16 sequences as long as the first ones."""
    page = pages.page(0, DEFAULT_SIZE)
    return (
        max(DEFAULT_SIZE, DEFAULT_SIZE * round(page.samples / len(page.names))) if page and page.names else DEFAULT_SIZE
    )


def _positive(size: int) -> int:
    if int(size) < 1:
        raise AttributeValueError(f"the minibatch size is {size}", fix="give a whole number of at least 1")
    return int(size)


def _vocabulary(given: Sequence[str] | str | os.PathLike[str]) -> Sequence[str]:
    """Words from a list or from the lines of a file."""
    if not isinstance(given, (str, os.PathLike)):
        return [str(word) for word in given]
    path = Path(given)
    try:
        size = path.stat().st_size
        if size > LARGEST_VOCABULARY:
            raise AttributeValueError(
                f"{path} has {size:,} bytes", fix=f"give at most {LARGEST_VOCABULARY:,} bytes of words"
            )
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise AttributeValueError(f"cannot read '{path}': {error.strerror}", fix="give a file of words") from error

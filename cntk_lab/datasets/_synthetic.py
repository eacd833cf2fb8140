"""Data that is made, not measured: two clouds of points, and flight questions with their tags.

Everything is drawn from a seed, so it is the same on every machine; each docstring says "synthetic", and so should
every text that shows results on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cntk_lab.datasets import _ctf
from cntk_lab.errors import AttributeValueError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Points:
    """Points in the plane (or in more dimensions) with their class.

    Args:
        features: coordinates (samples x dimensions).
        labels: class numbers (samples).
        classes: how many classes there are.
    """

    features: Floats
    labels: npt.NDArray[np.int64]
    classes: int

    def __len__(self) -> int:
        return len(self.labels)

    def one_hot(self) -> Floats:
        """The labels as rows of zeros with a one at the class (samples x classes)."""
        rows = np.zeros((len(self), self.classes), np.float32)
        rows[np.arange(len(self)), self.labels] = 1
        return rows


def two_gaussians(samples: int, *, dimensions: int = 2, classes: int = 2, seed: int = 0) -> Points:
    """Clouds of points around (3k, 3k, ...), the spread growing with the class k = 1, 2, ...; synthetic.

    The clouds overlap a little, so a straight line separates most points, never all: the data of logistic regression.

    Args:
        samples: how many points.
        dimensions: coordinates per point.
        classes: how many clouds.
        seed: of the numbers drawn.

    Raises:
        AttributeValueError: if a count is below 1.

    Example:
        >>> two_gaussians(4, seed=3).features.shape
        (4, 2)

    Source: the idea of CNTK tutorials 101 and 102 (age and tumour size).
    """
    if min(samples, dimensions, classes) < 1:
        raise AttributeValueError(
            f"two_gaussians: {samples} samples, {dimensions} dimensions, {classes} classes",
            "two_gaussians",
            "1 or more of each",
        )
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, samples)
    spread = random.standard_normal((samples, dimensions))
    return Points(((spread + 3) * (labels[:, None] + 1)).astype(np.float32), labels.astype(np.int64), classes)


CITIES = (
    "boston",
    "denver",
    "dallas",
    "atlanta",
    "oakland",
    "baltimore",
    "seattle",
    "memphis",
    "salt lake city",
    "new york",
)
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TIMES = ("morning", "afternoon", "evening", "noon", "night")
AIRLINES = ("delta", "united", "american airlines", "continental", "northwest")
OPENINGS = (
    "show me flights",
    "i want to fly",
    "what flights are there",
    "list all flights",
    "i need a ticket",
    "find a flight",
)
FROM, TO, DAY, TIME, AIRLINE = (
    "fromloc.city_name",
    "toloc.city_name",
    "depart_date.day_name",
    "depart_time.period",
    "airline_name",
)
OUTSIDE, BOUNDARY, UNKNOWN = "O", ("BOS", "EOS"), "<unk>"
SLOTS = (FROM, TO, DAY, TIME, AIRLINE)
TAGS = (OUTSIDE, *(f"{mark}-{slot}" for slot in SLOTS for mark in "BI"))


@dataclass(frozen=True)
class Queries:
    """Questions, word by word, with a tag for each word.

    Args:
        words: the questions' words, each between BOS and EOS.
        tags: one tag per word: O, or B- or I- (first or later word) with the slot.
        vocabulary: all words that can occur.
        tag_names: all tags that can occur.
    """

    words: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[str, ...], ...]
    vocabulary: tuple[str, ...]
    tag_names: tuple[str, ...] = TAGS

    def __len__(self) -> int:
        return len(self.words)

    def to_ctf(self, path: str | Path) -> Path:
        """Write in CNTK's text format and return the path: S0 has words, S2 tags, one-hot, a line per word."""
        word_of = {word: f"{i}:1" for i, word in enumerate(self.vocabulary)}
        tag_of = {tag: f"{i}:1" for i, tag in enumerate(self.tag_names)}
        items = (
            ([word_of[w] for w in words], [tag_of[t] for t in tags])
            for words, tags in zip(self.words, self.tags, strict=True)
        )
        return _ctf.write_lines(Path(path), _ctf.sequences(items, ("S0", "S2")))


def flight_queries(samples: int, *, seed: int = 0) -> Queries:
    """Questions about flights with slot tags, drawn from a small grammar in the manner of ATIS; synthetic.

    The tag of a city depends on the words before it ("from boston to denver", "to denver from boston"), so a model
    must look at the neighbourhood of a word, not only at the word.

    Args:
        samples: how many questions.
        seed: of the choices.

    Raises:
        AttributeValueError: if samples is below 1.

    Example:
        >>> query = flight_queries(1, seed=1)
        >>> len(query.words[0]) == len(query.tags[0])
        True

    Source: a grammar of this project; the tags follow the Air Travel Information System corpus.
    """
    if samples < 1:
        raise AttributeValueError(
            f"flight_queries: {samples} samples", where="datasets.flight_queries", fix="ask for 1 or more"
        )
    random = np.random.default_rng(seed)
    drawn = [_query(random) for _ in range(samples)]
    pools = (*CITIES, *DAYS, *TIMES, *AIRLINES, *OPENINGS, "from to between and on in the with please next")
    vocabulary = (UNKNOWN, *BOUNDARY, *sorted({w for phrase in pools for w in phrase.split()}))
    return Queries(tuple(words for words, _ in drawn), tuple(tags for _, tags in drawn), vocabulary)


def _query(random: np.random.Generator) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """One question: an opening, the route in one of three orders, and perhaps day, time and airline."""
    start, end = (CITIES[i] for i in random.choice(len(CITIES), 2, replace=False))

    def pick(pool: tuple[str, ...]) -> str:
        return pool[random.integers(len(pool))]

    plain = ""
    route = [
        [("from", plain), (start, FROM), ("to", plain), (end, TO)],
        [("to", plain), (end, TO), ("from", plain), (start, FROM)],
        [("between", plain), (start, FROM), ("and", plain), (end, TO)],
    ][random.integers(3)]
    parts = [(pick(OPENINGS), plain), *route]
    if random.random() < 0.5:
        parts += [("on next" if random.random() < 0.3 else "on", plain), (pick(DAYS), DAY)]
    if random.random() < 0.4:
        parts += [("in the", plain), (pick(TIMES), TIME)]
    if random.random() < 0.3:
        parts += [("with", plain), (pick(AIRLINES), AIRLINE)]
    if random.random() < 0.2:
        parts += [("please", plain)]
    words, tags = [BOUNDARY[0]], [OUTSIDE]
    for phrase, slot in parts:
        for position, word in enumerate(phrase.split()):
            words.append(word)
            tags.append(f"{'I' if position else 'B'}-{slot}" if slot else OUTSIDE)
    return (*words, BOUNDARY[1]), (*tags, OUTSIDE)

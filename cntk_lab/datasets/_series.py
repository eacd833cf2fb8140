"""Data sets of numbers in time: the solar year, daily stocks, Japanese vowels.

Plain float32 arrays with their units; cutting them into windows is left to the model's side, because how one cuts is
what the tutorials teach.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cntk_lab.datasets import _ctf
from cntk_lab.datasets._fetch import fetch
from cntk_lab.datasets._table import BY_NAME
from cntk_lab.errors import AttributeValueError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SolarYear:
    """A year hour by hour (8,760 values each).

    Args:
        hour: hours since the year began, 1..8760; a value is the mean over the hour that ends then.
        irradiance: global horizontal irradiance, in W/m².
        clear_sky: irradiance above the atmosphere, in W/m²: what the day could give at most.
        temperature: of the air, in °C.
        clouds: total cloud cover, in tenths.
    """

    hour: npt.NDArray[np.int64]
    irradiance: Floats
    clear_sky: Floats
    temperature: Floats
    clouds: Floats


def solar(*, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> SolarYear:
    """A typical solar year of Greensboro, North Carolina, hour by hour: what a panel on a roof sees.

    Args:
        offline: True never downloads; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder with 723170TYA.CSV, used instead of pip.
        verbose: print who served the data.

    Raises:
        NotAvailableError: if no source can serve it.
        FormatError: if what is served is damaged.

    Example:
        >>> solar().irradiance.shape               # doctest: +SKIP
        (8760,)

    Source: NREL, typical meteorological year 3, station 723170.
    """
    text = fetch(BY_NAME["solar"], offline, url, verbose)["723170TYA.CSV"].decode("ascii")
    rows = list(csv.DictReader(io.StringIO(text.split("\n", 1)[1])))

    def column(name: str) -> Floats:
        return np.array([float(row[name]) for row in rows], np.float32)

    names = ("GHI (W/m^2)", "ETR (W/m^2)", "Dry-bulb (C)", "TotCld (tenths)")
    return SolarYear(np.arange(1, len(rows) + 1), *(column(name) for name in names))


@dataclass(frozen=True)
class Stock:
    """One share's days, oldest first.

    Args:
        date: the trading days.
        open: price at opening, in US dollars; ``high``, ``low`` and ``close`` likewise.
        high: highest price of the day.
        low: lowest price of the day.
        close: price at closing.
        adjusted: closing price corrected for splits and dividends.
        volume: shares traded.
    """

    date: npt.NDArray[np.datetime64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    adjusted: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.date)


def stocks(*, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> dict[str, Stock]:
    """Daily prices of five shares from 2000 to 2013, by ticker symbol (AAPL, FB, GOOG, IBM, MSFT).

    Args:
        offline: True never downloads; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder with stocks.csv, used instead of pip.
        verbose: print who served the data.

    Raises:
        NotAvailableError: if no source can serve it.
        FormatError: if what is served is damaged.

    Example:
        >>> len(stocks()["IBM"])                   # doctest: +SKIP
        3270

    Source: Bokeh sample data.
    """
    text = fetch(BY_NAME["stocks"], offline, url, verbose)["stocks.csv"].decode("ascii")
    by_ticker: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        by_ticker.setdefault(row["Ticker"], []).append(row)
    names = ("Open", "High", "Low", "Close", "Adj Close", "Volume")
    return {
        ticker: Stock(
            np.array([row["Date"] for row in rows], "datetime64[D]"),
            *(np.array([float(row[name]) for row in rows], np.float32) for name in names),
        )
        for ticker, rows in sorted(by_ticker.items())
    }


@dataclass(frozen=True)
class Sequences:
    """Labelled sequences of different lengths.

    Args:
        sequences: one array (frames x dimensions) each.
        labels: class numbers, one per sequence.
        classes: the classes' names.
    """

    sequences: tuple[Floats, ...]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sequences)

    def one_hot(self) -> Floats:
        """The labels as rows of zeros with a one at the class (sequences x classes)."""
        rows = np.zeros((len(self), len(self.classes)), np.float32)
        rows[np.arange(len(self)), self.labels] = 1
        return rows

    def to_ctf(self, path: str | Path, features: str = "features", labels: str = "labels") -> Path:
        """Write in CNTK's text format and return the path; the label, one-hot, stands on a sequence's first line."""
        items = (
            ([_ctf.float_text(frame) for frame in sequence], [f"{label}:1"])
            for sequence, label in zip(self.sequences, self.labels, strict=True)
        )
        return _ctf.write_lines(Path(path), _ctf.sequences(items, (features, labels)))


@dataclass(frozen=True)
class SequenceSet:
    """A data set of sequences in two halves.

    Args:
        name: the data set's name, for people.
        train: sequences to train with.
        test: sequences to test with.
    """

    name: str
    train: Sequences
    test: Sequences


def japanese_vowels(*, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> SequenceSet:
    """Utterances of two Japanese vowels by nine speakers, 7 to 29 frames of 12 coefficients; who is speaking?

    Args:
        offline: True never downloads; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder with JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts, used instead of pip.
        verbose: print who served the data.

    Raises:
        NotAvailableError: if no source can serve it.
        FormatError: if what is served is damaged.

    Example:
        >>> japanese_vowels().train.sequences[0].shape      # doctest: +SKIP
        (20, 12)

    Source: Kudo, Toyama, Shimbo (1999).
    """
    found = fetch(BY_NAME["japanese_vowels"], offline, url, verbose)
    halves = [_ts(found[f"JapaneseVowels_{part}.ts"].decode("utf-8")) for part in ("TRAIN", "TEST")]
    return SequenceSet(BY_NAME["japanese_vowels"].title, halves[0], halves[1])


def _ts(text: str) -> Sequences:
    """The sequences of a ``.ts`` file: after ``@data``, a line is one row of values per dimension, then the class."""
    _, _, body = text.partition("@data")
    sequences, names = [], []
    for line in filter(None, map(str.strip, body.splitlines())):
        *rows, name = line.split(":")
        sequences.append(np.array([row.split(",") for row in rows], np.float32).T.copy())
        names.append(name)
    classes = tuple(sorted(set(names)))
    return Sequences(tuple(sequences), np.array([classes.index(name) for name in names], np.int64), classes)


def sine(samples: int, *, step: float = 0.1, noise: float = 0.0, seed: int = 0) -> Floats:
    """A sine wave, ``sin(step · i)`` for i = 0, 1, ..., with normal noise if asked for (samples). Synthetic.

    Args:
        samples: how many values.
        step: angle from one sample to the next, in radians.
        noise: standard deviation of what is added.
        seed: of the noise.

    Raises:
        AttributeValueError: if samples is negative.

    Example:
        >>> sine(3, step=1.5707963).round(3) + 0
        array([0., 1., 0.], dtype=float32)

    Source: CNTK tutorial 106A.
    """
    if samples < 0:
        raise AttributeValueError(f"sine: {samples} samples asked for", where="datasets.sine", fix="ask for 0 or more")
    clean = np.sin(step * np.arange(samples))
    noisy: Floats = (clean + noise * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)
    return noisy

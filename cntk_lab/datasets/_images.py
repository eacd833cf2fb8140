"""Image data sets: MNIST, Fashion-MNIST and the emoji of two vendors.

Pixels are kept as the bytes they are (N x channels x height x width); ``images`` is the float32 form that models are
fed with, one image being (channels x height x width) as CNTK has it. How the files came here is ``_fetch``'s
business.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cntk_lab.datasets import _ctf
from cntk_lab.datasets._fetch import fetch
from cntk_lab.datasets._table import BY_NAME
from cntk_lab.errors import AttributeValueError, FormatError, NotAvailableError

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
VENDORS = ("google", "twitter")
IDX_IMAGES, IDX_LABELS = 2051, 2049
EMOJI_SIDE = 32
SHEET_BORDER = 1  # transparent pixels around each picture of a sheet


@dataclass(frozen=True)
class Images:
    """Labelled images: the training half or the test half of a data set.

    Args:
        pixels: bytes 0..255 (N x channels x height x width).
        labels: class numbers (N).
        classes: the classes' names, by number.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def images(self) -> npt.NDArray[np.float32]:
        """The pixels divided by 255, as float32 from 0 to 1 (N x channels x height x width); made on first use."""
        return self.pixels.astype(np.float32) * np.float32(1 / 255)

    def one_hot(self) -> npt.NDArray[np.float32]:
        """The labels as rows of zeros with a one at the class (N x classes)."""
        rows = np.zeros((len(self), len(self.classes)), np.float32)
        rows[np.arange(len(self)), self.labels] = 1
        return rows

    def take(self, count: int, seed: int | None = None) -> Images:
        """The first ``count`` images, or with a seed ``count`` images drawn at random without repetition."""
        if not 0 <= count <= len(self):
            raise AttributeValueError(
                f"take: {count} images asked for, {len(self)} are there",
                where="Images.take",
                fix=f"ask for 0..{len(self)}",
            )
        chosen = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(len(self))[:count]
        return Images(self.pixels[chosen], self.labels[chosen], self.classes)

    def to_ctf(self, path: str | Path, features: str = "features", labels: str = "labels") -> Path:
        """Write the images in CNTK's text format and return the path.

        A line is ``|labels 0 0 1 ... |features 0 17 255 ...``: the label as one-hot row, then all pixels of the
        image, channel by channel, as whole numbers from 0 to 255. CNTK's tutorials divide by 256 in the model;
        ``images`` here is divided by 255.

        Args:
            path: the file to write; an existing one is replaced when the new one is complete.
            features: name of the stream of pixels.
            labels: name of the stream of labels.
        """
        flat = self.pixels.reshape(len(self), -1)
        return _ctf.write_lines(Path(path), _ctf.byte_rows(flat, self.labels, len(self.classes), (features, labels)))


@dataclass(frozen=True)
class ImageSet:
    """An image data set in two halves.

    Args:
        name: the data set's name, for people.
        train: images to train with.
        test: images to test with; never train on them.
    """

    name: str
    train: Images
    test: Images

    def to_ctf(self, folder: str | Path) -> tuple[Path, Path]:
        """Write both halves in CNTK's text format, under the file names of CNTK's tutorials, and return their paths.

        Example:
            ``mnist().to_ctf("data/MNIST")`` writes ``Train-28x28_cntk_text.txt`` (110 MB) and
            ``Test-28x28_cntk_text.txt``.
        """
        height, width = self.train.pixels.shape[2:]
        ending = f"-{height}x{width}_cntk_text.txt"
        return self.train.to_ctf(Path(folder) / f"Train{ending}"), self.test.to_ctf(Path(folder) / f"Test{ending}")


def mnist(*, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> ImageSet:
    """Handwritten digits: 60,000 to train and 10,000 to test, 28 x 28 grey pixels, classes 0 to 9.

    The first call downloads 11.5 MB with npm; later ones read the cache. ``train.images`` is (60000 x 1 x 28 x 28)
    float32, 0 where the paper is and up to 1 in the ink: the bytes of the files divided by 255.

    Args:
        offline: True never downloads; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder with the four files (or the same with ``.gz``), used instead of npm.
        verbose: print who served the data.

    Raises:
        NotAvailableError: if no source can serve it.
        FormatError: if what is served is damaged.

    Example:
        >>> digits = mnist()                       # doctest: +SKIP
        >>> digits.train.images.shape              # doctest: +SKIP
        (60000, 1, 28, 28)

    Source: LeCun, Bottou, Bengio, Haffner (1998).
    """
    return _idx_set("mnist", DIGITS, offline, url, verbose)


def fashion_mnist(*, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> ImageSet:
    """Pictures of clothes in MNIST's form: 60,000 to train and 10,000 to test, 28 x 28 grey pixels, ten kinds.

    Args:
        offline: True never downloads; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder with the four files (or the same with ``.gz``); needed where there is no apt-get.
        verbose: print who served the data.

    Raises:
        NotAvailableError: if no source can serve it.
        FormatError: if what is served is damaged.

    Example:
        >>> fashion_mnist().train.classes[9]       # doctest: +SKIP
        'ankle boot'

    Source: Xiao, Rasul, Vollgraf (2017).
    """
    return _idx_set("fashion_mnist", CLOTHES, offline, url, verbose)


def _idx_set(name: str, classes: tuple[str, ...], offline: bool | None, url: str | None, verbose: bool) -> ImageSet:
    record = BY_NAME[name]
    found = fetch(record, offline, url, verbose)
    halves = {}
    for part in ("train", "t10k"):
        pixels = idx_array(found[f"{part}-images-idx3-ubyte"])[:, None]
        labels = idx_array(found[f"{part}-labels-idx1-ubyte"]).astype(np.int64)
        halves[part] = Images(pixels, labels, classes)
    return ImageSet(record.title, halves["train"], halves["t10k"])


def idx_array(content: bytes) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of bytes: images (N x height x width) or labels (N).

    Raises:
        FormatError: if the header or the length is wrong.

    Source: the IDX format of MNIST's page: magic, sizes as 4-byte big-endian numbers, then the values.
    """
    if len(content) < 8 or (magic := struct.unpack_from(">I", content)[0]) not in {IDX_IMAGES, IDX_LABELS}:
        raise FormatError(
            f"no IDX file of bytes: it begins with {content[:4].hex(' ')}", where="idx_array", fix="name an IDX file"
        )
    rank = magic & 0xFF
    shape = struct.unpack_from(f">{rank}I", content, 4)
    expected = 4 + 4 * rank + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise FormatError(
            f"IDX file of shape {shape}: {len(content)} bytes found, {expected} expected",
            where="idx_array",
            fix="copy it again",
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


@dataclass(frozen=True)
class Emoji:
    """The same emoji drawn by two vendors: train on one vendor's style and test on the other's.

    Args:
        google: pictures by Google (N x 3 x 32 x 32, on white) with their category.
        twitter: pictures by Twitter, in the same order.
        names: the emoji's names.
        characters: the emoji themselves, as text.
    """

    google: Images
    twitter: Images
    names: tuple[str, ...]
    characters: tuple[str, ...]


def emoji(*, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> Emoji:
    """1,906 emoji by each of two vendors, 32 x 32 colour pixels on white, in nine categories.

    The first call downloads 136 MB with npm and keeps 12 MB. Needs Pillow to decode PNG.

    Args:
        offline: True never downloads; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder with emoji.json, google-32.png and twitter-32.png.
        verbose: print who served the data.

    Raises:
        NotAvailableError: if no source can serve it, or Pillow is missing.
        FormatError: if what is served is damaged.

    Example:
        >>> emoji().google.images.shape            # doctest: +SKIP
        (1906, 3, 32, 32)

    Source: emoji-datasource 16.0.0.
    """
    found = fetch(BY_NAME["emoji"], offline, url, verbose)
    table = [e for e in json.loads(found["emoji.json"]) if e["category"] != "Component"]
    table = [e for e in table if all(e[f"has_img_{vendor}"] for vendor in VENDORS)]
    classes = tuple(sorted({e["category"] for e in table}))
    labels = np.array([classes.index(e["category"]) for e in table], np.int64)
    halves = [Images(_sheet(found[f"{vendor}-32.png"], table), labels, classes) for vendor in VENDORS]
    characters = tuple("".join(chr(int(code, 16)) for code in e["unified"].split("-")) for e in table)
    return Emoji(halves[0], halves[1], tuple(e["name"].lower() for e in table), characters)


def _sheet(png: bytes, table: list[dict[str, int]]) -> npt.NDArray[np.uint8]:
    """Cut the pictures out of a sheet and lay them on white (N x 3 x 32 x 32)."""
    try:
        from PIL import Image  # heavy, and only emoji need it
    except ImportError as error:
        raise NotAvailableError(
            "Pillow, which decodes PNG, is not installed", where="datasets.emoji", fix="pip install pillow"
        ) from error
    with Image.open(io.BytesIO(png)) as opened:
        sheet = np.asarray(opened.convert("RGBA"), np.float32)
    step = EMOJI_SIDE + 2 * SHEET_BORDER
    cut = np.empty((len(table), 3, EMOJI_SIDE, EMOJI_SIDE), np.uint8)
    for i, entry in enumerate(table):
        x, y = entry["sheet_x"] * step + SHEET_BORDER, entry["sheet_y"] * step + SHEET_BORDER
        tile = sheet[y : y + EMOJI_SIDE, x : x + EMOJI_SIDE]
        alpha = tile[..., 3:] / 255
        cut[i] = np.rint(tile[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8).transpose(2, 0, 1)
    return cut

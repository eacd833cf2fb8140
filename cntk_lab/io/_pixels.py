"""Carries transforms out on one image: bytes in, a channels-first array of floats out.

An image stays a Pillow image as long as only crops and scales meet it (they are cheap there), then becomes an array
(rows x columns x channels, blue first). Knows descriptions (``transforms``), no map files.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import NotAvailableError, ReaderError
from cntk_lab.io import _resample

Pixels = NDArray[np.float32]
VIEWS: Final = 10
_LARGEST_MEAN: Final = 1 << 28


@lru_cache(maxsize=1)
def pillow() -> Any:
    """The module PIL.Image.

    Raises:
        NotAvailableError: if Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise NotAvailableError("no Pillow, which decodes images", fix="pip install cntk-lab[data]") from None
    return Image


def decode(content: bytes) -> Any:
    """A Pillow image in colour (mode RGB) from the bytes of a JPEG, PNG, BMP, ... file.

    Raises:
        Exception: whatever Pillow says of bytes that are no whole image.
    """
    image = pillow().open(io.BytesIO(content))
    if image.mode.startswith("I"):  # 16 bits per pixel: the upper 8 count
        image = pillow().fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


@dataclass(frozen=True)
class Step:
    """One transform of one image.

    Args:
        kind: which transform; "image": the image as it is stored.
        draws: what was drawn or found for this image, in words.
        image: what came out: rows x columns x channels, blue first.
    """

    kind: str
    draws: tuple[str, ...]
    image: Pixels


class Pipeline:
    """A list of transforms, ready to be applied.

    Args:
        transforms: their descriptions, in order.

    Raises:
        ReaderError: if a mean file cannot be read.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self._steps = [dict(t) for t in transforms]
        self._means = {t["meanFile"]: read_mean(t["meanFile"]) for t in self._steps if t["type"] == "Mean"}
        self.views = VIEWS if any(t.get("cropType") == "multiview10" for t in self._steps) else 1

    def shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width of what comes out; None if that depends on the image."""
        found: tuple[int, int, int] | None = None
        channels = 3
        for step in self._steps:
            if step["type"] == "Scale":
                channels = step["channels"]
                found = (channels, step["height"], step["width"])
            elif step["type"] == "Crop":
                width, height = _pair(step["cropSize"])
                found = (channels, int(height), int(width)) if width and height else None
        return found

    def apply(self, image: Any, seed: int, view: int = 0) -> Any:
        """The transformed image: a Pillow image or an array (rows x columns x channels, blue first)."""
        lots = self._lots(seed)
        for step in self._steps:
            image = self._one(image, step, lots, view, None)
        return image

    def trace(self, image: Any, seed: int, view: int = 0) -> list[Step]:
        """What each transform makes of the image, and the lots it drew: the same ones as in :meth:`apply`."""
        lots, found = self._lots(seed), []
        for step in self._steps:
            told: list[str] = []
            image = self._one(image, step, lots, view, told)
            found.append(Step(step["type"].lower(), tuple(told), as_array(image)))
        return found

    def _lots(self, seed: int) -> Any:
        return np.random.Generator(np.random.Philox(key=seed)) if self._draws() else None

    def _one(self, image: Any, step: Any, lots: Any, view: int, told: list[str] | None) -> Any:
        match step["type"]:
            case "Crop":
                return _crop(image, step, lots, view, told)
            case "Scale":
                return _scale(image, step, told)
            case "Mean":
                return _subtract(as_array(image), self._means[step["meanFile"]], step["meanFile"])
            case "Color":
                return _color(as_array(image), step, lots, told)
        return image

    def _draws(self) -> bool:
        return any(s["type"] == "Color" or str(s.get("cropType", "")).startswith("random") for s in self._steps)


def as_array(image: Any) -> Pixels:
    """Rows x columns x channels, blue first."""
    if isinstance(image, np.ndarray):
        return image
    array = np.asarray(image)
    return (array[:, :, None] if array.ndim == 2 else array[:, :, ::-1]).astype(np.float32)


def size_of(image: Any) -> tuple[int, int, int]:
    """Channels, height, width."""
    if isinstance(image, np.ndarray):
        return image.shape[2], image.shape[0], image.shape[1]
    return len(image.getbands()), image.height, image.width


def write(image: Any, out: Pixels) -> None:
    """Put an image into an array (channels x rows x columns)."""
    if isinstance(image, np.ndarray):
        out[...] = image.transpose(2, 0, 1)
        return
    array = np.asarray(image)
    if array.ndim == 2:
        out[0] = array
    else:
        for channel in range(3):
            out[channel] = array[:, :, 2 - channel]


def _pair(text: str) -> tuple[float, float]:
    low, high = text.split(":")
    return float(low), float(high)


def _draw(text: str, step: Any, lots: Any) -> float:
    low, high = _pair(text)
    return (
        float(lots.uniform(low, high)) if step["jitterType"] == "uniratio" and lots is not None and low < high else high
    )


def _crop(image: Any, step: Any, lots: Any, view: int, told: list[str] | None = None) -> Any:
    _, height, width = size_of(image)
    kind = step["cropType"]
    wide, high = _cut_size(step, lots, width, height)
    room = width - wide, height - high
    flip = False
    if kind.startswith("random"):
        x, y = int(lots.integers(0, room[0] + 1)), int(lots.integers(0, room[1] + 1))
        flip = bool(lots.integers(0, 2))
    elif kind == "multiview10":
        corner = view % 5
        x, y = ((0, 0), (room[0], 0), (0, room[1]), (room[0], room[1]), (room[0] // 2, room[1] // 2))[corner]
        flip = view >= 5
    else:
        x, y = room[0] // 2, room[1] // 2
    if told is not None:
        told += [
            f"{wide} x {high} of {width} x {height} pixels from column {x}, row {y}",
            *(["mirrored"] if flip else []),
        ]
    if isinstance(image, np.ndarray):
        cut = image[y : y + high, x : x + wide]
        return np.ascontiguousarray(cut[:, ::-1]) if flip else cut
    cut = image.crop((x, y, x + wide, y + high))
    return cut.transpose(pillow().Transpose.FLIP_LEFT_RIGHT) if flip else cut


def _cut_size(step: Any, lots: Any, width: int, height: int) -> tuple[int, int]:
    """Width and height of what is cut out."""
    wide, high = (int(n) for n in _pair(step["cropSize"]))
    if wide and high:
        if wide > width or high > height:
            raise ValueError(f"crop_size {wide} x {high} is larger than the image ({width} x {height} pixels)")
        return wide, high
    aspect = _draw(step["aspectRatio"], step, lots) or 1.0
    if step["cropType"] == "randomarea" and _pair(step["areaRatio"])[1] > 0:
        area = _draw(step["areaRatio"], step, lots) * width * height
        turn = 1 / aspect if lots.integers(0, 2) else aspect
        wide, high = round((area * turn) ** 0.5), round((area / turn) ** 0.5)
        return max(1, min(wide, width)), max(1, min(high, height))
    side = (_draw(step["sideRatio"], step, lots) or 1.0) * min(width, height)
    if aspect != 1.0:
        turn = 1 / aspect if lots is not None and lots.integers(0, 2) else aspect
        return max(1, min(width, int(side * turn**0.5))), max(1, min(height, int(side / turn**0.5)))
    return max(1, int(side)), max(1, int(side))


def _scale(image: Any, step: Any, told: list[str] | None = None) -> Any:
    width, height, mode = step["width"], step["height"], step["scaleMode"]
    channels, rows, columns = size_of(image)
    if told is not None:
        told.append(f"{columns} x {rows} to {width} x {height} pixels, {mode}, {step['interpolations']}")
    if channels != step["channels"] and not isinstance(image, np.ndarray):
        image = image.convert("L" if step["channels"] == 1 else "RGB")
    if mode == "fill":
        return _resize(image, width, height, step["interpolations"])
    ratios = width / columns, height / rows
    ratio = max(ratios) if mode == "crop" else min(ratios)
    inner = max(1, round(columns * ratio)), max(1, round(rows * ratio))
    inner = (
        (max(inner[0], width), max(inner[1], height))
        if mode == "crop"
        else (min(inner[0], width), min(inner[1], height))
    )
    array = as_array(_resize(image, *inner, step["interpolations"]))
    x, y = abs(inner[0] - width) // 2, abs(inner[1] - height) // 2
    if mode == "crop":
        return array[y : y + height, x : x + width]
    around = ((y, height - inner[1] - y), (x, width - inner[0] - x), (0, 0))
    if step["padValue"] < 0:
        return np.pad(array, around, mode="edge")
    return np.pad(array, around, constant_values=step["padValue"])


def _resize(image: Any, width: int, height: int, interpolation: str) -> Any:
    """The image at another size, sampled at pixel centres without averaging, as OpenCV does it."""
    _, rows, columns = size_of(image)
    if (rows, columns) == (height, width):
        return image
    array = image if isinstance(image, np.ndarray) else np.asarray(image)
    array = array[:, :, None] if array.ndim == 2 else array
    if interpolation == "nearest":
        down, across = (np.arange(n) * (m / n) for n, m in ((height, rows), (width, columns)))
        found = array[down.astype(np.int64)][:, across.astype(np.int64)]
    elif interpolation == "linear" and array.dtype == np.uint8 and (fast := _linear(array, width, height)) is not None:
        found = fast
    else:
        found = _weigh(_weigh(array, *_taps(rows, height, interpolation), 0), *_taps(columns, width, interpolation), 1)
        if not isinstance(image, np.ndarray):
            found = np.floor(found + np.float32(0.5)).clip(0, 255)
    if not isinstance(image, np.ndarray):
        found = found[:, :, ::-1]
    return np.ascontiguousarray(found, np.float32)


def _linear(array: NDArray[np.uint8], width: int, height: int) -> Pixels | None:
    down, across = _taps(array.shape[0], height, "linear"), _taps(array.shape[1], width, "linear")
    return _resample.bilinear(np.ascontiguousarray(array), down, across)


def _weigh(array: NDArray[Any], index: NDArray[np.int64], weight: Pixels, axis: int) -> Pixels:
    """Weighted sums of rows (axis 0) or columns (axis 1)."""
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total: Pixels = array.take(index[0], axis) * weight[0].reshape(shape)
    for where, factor in zip(index[1:], weight[1:], strict=True):
        total += array.take(where, axis) * factor.reshape(shape)
    return total


@lru_cache(maxsize=512)
def _taps(before: int, after: int, interpolation: str) -> tuple[NDArray[np.int64], Pixels]:
    """Which pixels make each new pixel, and with what weight: (taps x after) both."""
    place = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(place)
    part = place - first
    if interpolation == "linear":
        weights = [1 - part, part]
    elif interpolation == "cubic":
        a = -0.75
        distances = [part + 1, part, 1 - part, 2 - part]
        weights = [
            (a + 2) * d**3 - (a + 3) * d**2 + 1 if k in {1, 2} else a * (d**3 - 5 * d**2 + 8 * d - 4)
            for k, d in enumerate(distances)
        ]
    else:
        offsets = part[None, :] - np.arange(-3, 5)[:, None]
        lanczos = np.sinc(offsets) * np.sinc(offsets / 4)
        weights = list(lanczos / lanczos.sum(axis=0))
    reach = len(weights) // 2
    index = np.array([(first + k).clip(0, before - 1) for k in range(1 - reach, reach + 1)], np.int64)
    return index, np.array(weights, np.float32)


def _subtract(image: Pixels, mean: Pixels, file: str) -> Pixels:
    if image.shape != mean.shape:
        raise ReaderError(
            f"the mean in {file} is {mean.shape[0]} x {mean.shape[1]} x {mean.shape[2]}, "
            f"the image {image.shape[0]} x {image.shape[1]} x {image.shape[2]} (rows x columns x channels)",
            fix="scale images to the mean's size before mean()",
        )
    return image - mean


def _color(image: Pixels, step: Any, lots: Any, told: list[str] | None = None) -> Pixels:
    told = [] if told is None else told  # who does not ask throws the words away
    brightness, contrast = step["brightnessRadius"], step["contrastRadius"]
    if brightness > 0 or contrast > 0:
        shift = lots.uniform(-brightness, brightness) * float(image.mean())
        gain = 1 + lots.uniform(-contrast, contrast)
        told += [f"brightness {shift:+.1f}", f"contrast x {gain:.3f}"]
        image = image * np.float32(gain) + np.float32(shift)
    if step["saturationRadius"] > 0 and image.shape[2] == 3:
        ratio = np.float32(1 + lots.uniform(-step["saturationRadius"], step["saturationRadius"]))
        told.append(f"saturation x {float(ratio):.3f}")
        brightest = image.max(axis=2, keepdims=True)  # value and hue of HSV stay, saturation is multiplied, at most 1
        spread = brightest - image.min(axis=2, keepdims=True)
        limit = np.where(spread > 0, brightest / np.where(spread > 0, spread, 1), 1)
        image = brightest - (brightest - image) * np.minimum(ratio, np.maximum(limit, 0))
    return image.astype(np.float32, copy=False)


def read_mean(file: str) -> Pixels:
    """The mean image of an XML file: rows x columns x channels.

    Raises:
        ReaderError: if the file cannot be read or is no such XML.
    """
    wanted = "an XML file as OpenCV writes it, with Channel, Row, Col and MeanImg/data"
    try:
        if Path(file).stat().st_size > _LARGEST_MEAN:
            raise ReaderError(f"the mean file has more than {_LARGEST_MEAN} bytes", file, f"give {wanted}")
        text = Path(file).read_bytes()
    except OSError as error:
        raise ReaderError(f"cannot open mean file '{file}': {error.strerror}", fix=f"give {wanted}") from error
    try:
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise ValueError("it defines entities")
        root = ET.fromstring(text)  # noqa: S314  (entities are refused above)
        channel, row, col = (int(root.findtext(tag, "")) for tag in ("Channel", "Row", "Col"))
        values = np.array(root.findtext("MeanImg/data", "").split(), np.float32)
        return values.reshape((row, col, channel))
    except (ET.ParseError, ValueError) as error:
        raise ReaderError(f"the mean file is not what it should be: {error}", file, f"give {wanted}") from error

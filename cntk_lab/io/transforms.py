"""Transforms of images while they are read: crop, scale, subtract a mean, change colours.

A transform is a description (a dictionary, as CNTK's configuration has it); :class:`Pipeline` carries a list of them
out on one image. Lots are drawn from a seed given with each image, so that the same seed gives the same cut, for
images and their masks alike. Knows no files but the mean's.

Source: CNTK 2.7 ``io.transforms``; bilinear sampling at pixel centres as in OpenCV.
"""

from __future__ import annotations

from typing import Any

from cntk_lab.errors import AttributeValueError

__all__ = ["Transform", "color", "crop", "mean", "scale"]

Transform = dict[str, Any]
"""Description of one transform."""

CROPS = ("center", "randomside", "randomarea", "multiview10")
INTERPOLATIONS = ("nearest", "linear", "cubic", "lanczos")
MODES = ("fill", "crop", "pad")


def _number(value: float) -> str:
    return f"{value:g}"


def _range(name: str, value: float | tuple[float, float]) -> str:
    low, high = value if isinstance(value, (tuple, list)) else (value, value)
    if low > high or low < 0:
        raise AttributeValueError(f"crop: {name}={value} is no range", fix="give one number, or (smallest, largest)")
    return f"{_number(low)}:{_number(high)}"


def _one_of(what: str, value: str, words: tuple[str, ...]) -> str:
    word = str(value).lower()
    if word not in words:
        raise AttributeValueError(f"{what}='{value}' is not known", fix=f"one of: {', '.join(words)}")
    return word


def crop(
    crop_type: str = "center",
    crop_size: int | tuple[int, int] = 0,
    side_ratio: float | tuple[float, float] = 0.0,
    area_ratio: float | tuple[float, float] = 0.0,
    aspect_ratio: float | tuple[float, float] = 1.0,
    jitter_type: str = "none",
) -> Transform:
    """Cuts a part out of the image; random kinds also mirror half of the images left to right.

    Args:
        crop_type: 'center'; 'randomside': a square of random place whose side is ``side_ratio`` of the image's shorter
            one; 'randomarea': a rectangle of ``area_ratio`` of its area; 'multiview10': each image gives ten: four
            corners and centre, and these mirrored. ('random' means 'randomside'.)
        crop_size: size in pixels, one number or (width, height); 0: the ratios count.
        side_ratio: part of the shorter side, 0..1, or a range drawn from.
        area_ratio: part of the area, 0..1, or a range drawn from.
        aspect_ratio: width over height (or the inverse), or a range drawn from.
        jitter_type: 'uniratio': draw ratios evenly from their ranges; 'none': take the largest.

    Returns:
        Description for ``StreamDef(transforms=[...])``.

    Raises:
        AttributeValueError: if a word or range is not known.

    Example:
        >>> crop("randomside", side_ratio=(0.5, 0.8), jitter_type="uniratio")["sideRatio"]
        '0.5:0.8'

    Source: CNTK 2.7 ``io.transforms.crop``.
    """
    kind = _one_of("crop: crop_type", "randomside" if str(crop_type).lower() == "random" else crop_type, CROPS)
    width, height = crop_size if isinstance(crop_size, (tuple, list)) else (crop_size, crop_size)
    for name, ratio in (("side_ratio", side_ratio), ("area_ratio", area_ratio)):
        if max(ratio if isinstance(ratio, (tuple, list)) else (ratio,)) > 1:
            raise AttributeValueError(f"crop: {name}={ratio} is larger than the image", fix="give ratios from 0 to 1")
    if width < 0 or height < 0:
        raise AttributeValueError(f"crop: crop_size={crop_size} is negative", fix="give pixels, or 0")
    return {
        "type": "Crop",
        "cropType": kind,
        "cropSize": f"{int(width)}:{int(height)}",
        "sideRatio": _range("side_ratio", side_ratio),
        "areaRatio": _range("area_ratio", area_ratio),
        "aspectRatio": _range("aspect_ratio", aspect_ratio),
        "jitterType": _one_of("crop: jitter_type", jitter_type, ("none", "uniratio")),
    }


def scale(
    width: int,
    height: int,
    channels: int,
    interpolations: str = "linear",
    scale_mode: str = "fill",
    pad_value: int = -1,
) -> Transform:
    """Brings the image to a size.

    Args:
        width: in pixels.
        height: in pixels.
        channels: 3 for colour (blue, green, red), 1 for grey.
        interpolations: 'nearest', 'linear', 'cubic' or 'lanczos'.
        scale_mode: 'fill': stretch; 'crop': keep proportions, cut what is too long; 'pad': keep proportions, fill the
            rest.
        pad_value: grey value of the filling, 0..255; -1: repeat the edge.

    Returns:
        Description for ``StreamDef(transforms=[...])``.

    Raises:
        AttributeValueError: if a word or number cannot be.

    Example:
        >>> scale(32, 32, 3)["interpolations"]
        'linear'

    Source: CNTK 2.7 ``io.transforms.scale``.
    """
    if width < 1 or height < 1 or channels not in {1, 3}:
        raise AttributeValueError(
            f"scale: width={width}, height={height}, channels={channels}",
            fix="give pixels of at least 1, and 1 or 3 channels",
        )
    return {
        "type": "Scale",
        "width": int(width),
        "height": int(height),
        "channels": int(channels),
        "interpolations": _one_of("scale: interpolations", interpolations, INTERPOLATIONS),
        "scaleMode": _one_of("scale: scale_mode", scale_mode, MODES),
        "padValue": int(pad_value),
    }


def mean(filename: str) -> Transform:
    """Subtracts a mean image.

    Args:
        filename: XML file as OpenCV writes it, with Channel, Row, Col and MeanImg (rows x columns x channels, blue
            first).

    Returns:
        Description for ``StreamDef(transforms=[...])``.

    Example:
        >>> mean("mean.xml")["meanFile"]
        'mean.xml'

    Source: CNTK 2.7 ``io.transforms.mean``.
    """
    return {"type": "Mean", "meanFile": str(filename)}


def color(brightness_radius: float = 0.0, contrast_radius: float = 0.0, saturation_radius: float = 0.0) -> Transform:
    """Changes brightness, contrast and saturation by random amounts.

    Args:
        brightness_radius: largest change of brightness, as a part of the mean, 0..1.
        contrast_radius: largest change of contrast, as a part, 0..1.
        saturation_radius: largest change of saturation, as a part, 0..1; for colour images.

    Returns:
        Description for ``StreamDef(transforms=[...])``.

    Raises:
        AttributeValueError: if a radius is not from 0 to 1.

    Example:
        >>> color(0.2)["brightnessRadius"]
        0.2

    Source: CNTK 2.7 ``io.transforms.color``.
    """
    radii = {
        "brightnessRadius": brightness_radius,
        "contrastRadius": contrast_radius,
        "saturationRadius": saturation_radius,
    }
    for name, radius in radii.items():
        if not 0 <= radius <= 1:
            raise AttributeValueError(f"color: {name}={radius}", fix="give numbers from 0 to 1")
    return {"type": "Color", **{name: float(radius) for name, radius in radii.items()}}

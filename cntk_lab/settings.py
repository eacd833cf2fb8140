"""Every environment variable and global switch, with default and meaning; the only module-level state beside
registries.

Read a switch as ``settings.threads()``; change it with :func:`set_option` (or ``with option(name=value):``). Values
from the environment are read when first asked for, so that a test or a notebook can set them before.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cntk_lab import _changes
from cntk_lab._turn import new_lock
from cntk_lab.errors import AttributeValueError


@dataclass(frozen=True, slots=True)
class Option:
    """One switch: name, environment variable, default and meaning."""

    name: str
    variable: str
    default: object
    meaning: str


OPTIONS: tuple[Option, ...] = (
    Option("threads", "CNTK_LAB_THREADS", 0, "threads of the CPU engine; 0 = one per physical core that may be used"),
    Option("native", "CNTK_LAB_NATIVE", True, "use the native CPU tier (numba, oneDNN) where it is available"),
    Option(
        "native_after", "CNTK_LAB_NATIVE_AFTER", 2, "runs of a plan on NumPy before native code is made (training: 0)"
    ),
    Option("onednn", "CNTK_LAB_ONEDNN", True, "use oneDNN for products and convolutions where it is available"),
    Option(
        "background_compilation",
        "CNTK_LAB_BACKGROUND",
        True,
        "compile kernels beside the training; NumPy serves meanwhile",
    ),
    Option("cache_folder", "CNTK_LAB_CACHE", "", "folder for compiled kernels; empty = the user's cache folder"),
    Option("data_folder", "CNTK_LAB_DATA", "", "folder for data sets; empty = the user's cache folder"),
    Option(
        "cntk_random", "CNTK_LAB_CNTK_RANDOM", False, "random operators and dropout draw CNTK's own numbers (slower)"
    ),
    Option(
        "check_data",
        "CNTK_LAB_CHECK_DATA",
        True,
        "refuse training data that contain NaN, naming the input and the place",
    ),
    Option("tf32", "CNTK_LAB_TF32", False, "GPU products of float32 may round their inputs to 10 bits of mantissa"),
    Option(
        "checked", "CNTK_LAB_CHECKED", False, "memory guarded and poisoned, plans compared with NumPy (up to 2x time)"
    ),
    Option("check_plans", "CNTK_LAB_CHECK_PLANS", False, "look at every plan after each pass of the compiler"),
    Option("watch_nan", "CNTK_LAB_WATCH_NAN", False, "stop at the first step whose result contains NaN (slow)"),
    Option("fuse", "CNTK_LAB_FUSE", True, "fuse neighbouring formulas into one kernel"),
    Option("offline", "CNTK_LAB_OFFLINE", False, "never ask a package registry for data"),
)
_BY_NAME = {o.name: o for o in OPTIONS}
_lock = new_lock()
_UNSET: Final = object()


class _Blocks(threading.local):
    """The ``with`` blocks that this thread is in: what was set before each of them set something else."""

    inside: tuple[dict[str, object], ...] = ()


_blocks = _Blocks()
_set: dict[str, object] = {}
_defaults: dict[str, object] = {}
"""Defaults of this process where they are not those of the table."""
_numbers: dict[str, int] = {}
_flags: dict[str, bool] = {}
"""Numbers and flags as they are now: steps ask several, and each look into the environment costs a microsecond."""


def get(name: str) -> object:
    """The value of a switch: what was set in this process, else the environment's, else the default."""
    if name in _set:
        return _set[name]
    option_ = _BY_NAME[name]
    text = os.environ.get(option_.variable)
    return _defaults.get(name, option_.default) if text is None else _parse(option_, text)


def set_default(name: str, value: object) -> None:
    """Say what a switch is in this process unless the user or the environment says otherwise; None: as in the table.

    Raises:
        KeyError: if there is no such switch.
    """
    if name not in _BY_NAME:
        raise KeyError(f"no option {name!r}; there are: {', '.join(_BY_NAME)}")
    if value is None:
        _defaults.pop(name, None)
    else:
        _defaults[name] = value
    _flags.pop(name, None)
    _numbers.pop(name, None)
    _changes.note()


def set_option(name: str, value: object) -> None:
    """Set a switch for this process.

    Raises:
        KeyError: if there is no such switch.
    """
    if name not in _BY_NAME:
        raise KeyError(f"no option {name!r}; there are: {', '.join(_BY_NAME)}")
    with _lock:
        if _blocks.inside:
            _blocks.inside[-1].setdefault(name, _set.get(name, _UNSET))
        _put(name, value)


def _put(name: str, value: object) -> None:
    if value is _UNSET:
        _set.pop(name, None)
    else:
        _set[name] = value
    _flags.pop(name, None)
    _numbers.pop(name, None)
    _changes.note()


@contextlib.contextmanager
def option(**values: object) -> Iterator[None]:
    """Switches set inside a ``with`` block and put back afterwards; those that other threads set meanwhile stay."""
    before: dict[str, object] = {}
    _blocks.inside = (*_blocks.inside, before)
    try:
        for name, value in values.items():
            set_option(name, value)
        yield
    finally:
        _blocks.inside = _blocks.inside[:-1]
        with _lock:
            for name, value in before.items():
                _put(name, value)
        _changes.note()


def _parse(option_: Option, text: str) -> object:
    if isinstance(option_.default, bool):
        return text.strip().lower() not in ("", "0", "no", "off", "false")
    if isinstance(option_.default, int):
        try:
            return int(text)
        except ValueError:
            raise AttributeValueError(
                f"{option_.variable} is {text!r}, not a whole number",
                fix=f"{option_.meaning}; default {option_.default}",
            ) from None
    return text


def flag(name: str) -> bool:
    """A switch that is on or off; the environment is asked once."""
    known = _flags.get(name)
    if known is None:
        with _lock:
            known = _flags[name] = bool(get(name))
    return known


def number(name: str) -> int:
    """A switch that is a whole number; the environment is asked once."""
    known = _numbers.get(name)
    if known is None:
        with _lock:
            value = get(name)
            assert isinstance(value, int)
            known = _numbers[name] = value
    return known


def folder(name: str, kind: str) -> Path:
    """The folder of a switch; if it is empty, the folder ``kind`` in the user's cache folder."""
    value = str(get(name))
    if value:
        return Path(value).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("cntk-lab")) / kind

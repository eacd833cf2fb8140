"""What a checkpoint is on disk, and which one is the newest whole one.

A checkpoint is a pair of files: the model under a name, the state of training under that name with ``.ckp``. Two files
cannot be replaced at once, so a save leaves tracks from which it can be finished or undone after a crash at any moment:
the state is written as ``name.saving.ckp`` (1), then the model as ``name.saving`` (2), then the state gets its name
(3), then the model (4). Only the state's new file: the old pair still holds. The model's new file: the new pair is
complete. Knows neither what is in the files nor when they are written. Idea: redo logs of data bases.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

STATE = ".ckp"
SAVING = ".saving"


def state_of(model: Path) -> Path:
    """The file of the state that belongs to a model's file."""
    return model.with_name(model.name + STATE)


def save_pair(model: Path, write_model: Callable[[Path], object], write_state: Callable[[Path], object]) -> None:
    """Write both files of a checkpoint so that at any moment the old pair or the new one can be had.

    Args:
        model: the model's file; missing folders are made.
        write_model: writes a whole file of the given name, or none.
        write_state: the same for the state.
    """
    model.parent.mkdir(parents=True, exist_ok=True)
    settle(model)
    new = model.with_name(model.name + SAVING)
    try:
        write_state(state_of(new))
        write_model(new)
    except BaseException:
        for left in (new, state_of(new)):
            left.unlink(missing_ok=True)
        raise
    _finish(model, new)


def settle(model: Path) -> None:
    """Finish or undo what is left of a save that was cut short; nothing if nothing is left."""
    new = model.with_name(model.name + SAVING)
    if new.is_file():
        _finish(model, new)
    else:
        state_of(new).unlink(missing_ok=True)
    for name in (new.name, state_of(new).name):  # unfinished files of a writer that was killed
        for left in model.parent.glob(f".{_plain(name)}.*.partial"):
            with contextlib.suppress(OSError):
                left.unlink()


def _finish(model: Path, new: Path) -> None:
    if state_of(new).is_file():
        state_of(new).replace(state_of(model))
    new.replace(model)


def _plain(name: str) -> str:
    """A file name as a pattern that matches only itself."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def candidates(model: Path) -> list[Path]:
    """Models of the checkpoints that are there in full: the plain name first, then numbered ones, the last one first.

    Args:
        model: the name without a number.
    """
    if not model.parent.is_dir():
        return []
    number = re.compile(re.escape(model.name) + r"(\d+)?(?:" + re.escape(SAVING) + ")?")
    found: dict[Path, int] = {}
    for file in model.parent.iterdir():
        match = number.fullmatch(file.name)
        if match:
            found[model.with_name(model.name + (match[1] or ""))] = int(match[1]) if match[1] else -1
    for name in found:
        settle(name)
    whole = [name for name in found if name.is_file() and state_of(name).is_file()]
    return sorted(whole, key=lambda name: (found[name] >= 0, -found[name]))

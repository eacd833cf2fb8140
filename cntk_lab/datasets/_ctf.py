"""Writes data sets in CNTK's text format (CTF), fast where the values are bytes.

One line is one frame: ``|name value value ...`` per stream; a leading number joins lines to a sequence. Files appear
complete or not at all. It knows arrays and the grammar, no data set.

Source: the CTF grammar of CNTK 2.7, as observed in real files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cntk_lab._files import atomic_file

BLOCK_ROWS = 2000
WIDEST_BYTE = 4  # '255 '

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def write_lines(path: Path, blocks: Iterable[bytes]) -> Path:
    """Write blocks of text to a file that appears only when it is complete; the folder is made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        stream.writelines(blocks)
    return path


def byte_rows(pixels: Pixels, labels: Labels, classes: int, names: tuple[str, str]) -> Iterable[bytes]:
    """Lines ``|labels 0 0 1 ... |features 0 17 255 ...`` of byte images, as CNTK's MNIST tutorial writes them.

    Every token is looked up in a table of fixed width and the filling is dropped afterwards: 60,000 images of 784
    pixels take about a second, a loop over the values takes forty.

    Args:
        pixels: (N x values), 0..255.
        labels: (N), 0..classes-1.
        classes: how many labels there are.
        names: stream names of features and labels.
    """
    tokens = np.array([f"{value} ".encode() for value in range(256)], dtype=f"S{WIDEST_BYTE}")
    width = pixels.shape[1] * WIDEST_BYTE
    heads = [
        f"|{names[1]} {' '.join('1' if c == label else '0' for c in range(classes))} |{names[0]} ".encode()
        for label in range(classes)
    ]
    head_table = np.array(heads, dtype=f"S{max(map(len, heads))}")
    head_width = head_table.dtype.itemsize
    for start in range(0, len(pixels), BLOCK_ROWS):
        block = pixels[start : start + BLOCK_ROWS]
        rows = np.zeros((len(block), head_width + width + 1), np.uint8)
        rows[:, :head_width] = head_table[labels[start : start + BLOCK_ROWS]].view(np.uint8).reshape(len(block), -1)
        rows[:, head_width:-1] = tokens[block].view(np.uint8).reshape(len(block), -1)
        rows[:, -1] = ord("\n")
        yield rows[rows != 0].tobytes().replace(b" \n", b"\n")


def sequences(
    items: Iterable[tuple[Sequence[str], ...]],
    names: tuple[str, ...],
    comments: Iterable[tuple[str, ...]] | None = None,
) -> Iterable[bytes]:
    """Numbered lines of sequences that may differ in length: frame t of every stream that still has one.

    Args:
        items: per sequence, per stream, the values of each frame as text (``3:1``, ``0.5 0.25``).
        names: the streams' names.
        comments: per sequence, per stream, words put as ``|# ...`` on the first line; they cannot hold a bar.
    """
    notes = iter(comments) if comments is not None else None
    for number, streams in enumerate(items):
        note = next(notes) if notes is not None else ("",) * len(names)
        lines = []
        for t in range(max(map(len, streams))):
            parts = [str(number)]
            for name, frames, words in zip(names, streams, note, strict=True):
                if t < len(frames):
                    parts.append(f"|{name} {frames[t]}")
                    if t == 0 and words:
                        parts.append("|# " + words.replace("|", "/").replace("\n", " "))
            lines.append(" ".join(parts))
        yield ("\n".join(lines) + "\n").encode()


def float_text(values: npt.NDArray[np.floating]) -> str:
    """Values separated by blanks, each with the fewest digits that give the same float32 again."""
    return " ".join(np.format_float_positional(v, trim="-") for v in values.astype(np.float32))

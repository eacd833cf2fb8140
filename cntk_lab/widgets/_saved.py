"""What a notebook keeps of a widget, so that it can be looked at where no kernel is.

A view is plain data: the widget's kind, its synced state, and the answers that the browser's code would ask a kernel
for. The browser's own code draws it; nothing of a file is run. Too large views are left out, and the picture stays.

Idea: the data URLs of plotly's and Bokeh's mime bundles, with the live widget's own front end as viewer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

MIME: Final = "application/vnd.cntk-lab.view+json"
MOST_BYTES: Final = 400_000
"""Length of a saved view, in bytes of JSON: Jupyter's server drops outputs of more than a megabyte in a second."""


def plain(value: Any) -> Any:
    """A value of a widget's state as JSON; bytes and arrays become ``{"base64": text}``."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview, np.ndarray)):
        data = value.tobytes() if isinstance(value, (memoryview, np.ndarray)) else bytes(value)
        return {"base64": base64.b64encode(data).decode()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(entry) for entry in value]
    return value


def view(
    kind: str, state: Mapping[str, Any], told: Sequence[tuple[Any, bytes]], pages: Sequence[Any]
) -> dict[str, Any]:
    """The data of a saved view; without state where it would be too long.

    Args:
        kind: the bundle's name.
        state: synced state of the widget.
        told: messages that the widget sends when it is asked for all: (content, bytes).
        pages: earlier contents that can be paged through, the latest last; the oldest go first where room ends.
    """
    whole = {"version": 1, "view": kind, "state": plain(state), "told": plain(told), "pages": []}
    room = MOST_BYTES - length(whole)
    if room < 0:
        return too_long(kind)
    for page in reversed(pages):
        kept = plain(page)
        room -= length(kept)
        if room < 0:
            break
        whole["pages"].insert(0, kept)
    return whole


def too_long(kind: str) -> dict[str, Any]:
    """The data of a view that is not kept: the picture stands for it."""
    return {"version": 1, "view": kind, "state": None, "told": [], "pages": []}


def length(value: Any) -> int:
    """Bytes that a value takes as JSON."""
    return len(json.dumps(plain(value)))

"""Text from anywhere made fit for a picture, a page, a protocol or a line of a terminal: the one place that does it.

A name may hold whatever a string can: control characters that no XML can hold, halves of characters that cannot be
encoded, marks that turn the direction of writing around, a book. What is shown of it holds none of these. Knows nothing
of what the text is about.
"""

from __future__ import annotations

import html
import traceback
from typing import Any, Final

from cntk_lab.errors import LabError

LONGEST: Final = 300
"""Characters that are shown of a text."""
LONGEST_ERROR: Final = 2000
STAND_IN: Final = "\N{REPLACEMENT CHARACTER}"
_JOINERS: Final = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Without them words of some languages, and some emoji, fall apart; they do no harm."""


def shown(text: object, most: int = LONGEST, *, lines: bool = False) -> str:
    r"""Text that can be shown anywhere: what cannot be printed is replaced, what is too long is cut.

    Args:
        text: anything; what is no string is written as Python writes it.
        most: characters at most; the last one says that more was there.
        lines: keep line breaks; else they become blanks, as all white space does.

    Example:
        >>> shown("a\nb\x1b\ud800"), shown("x" * 10, most=4)
        ('a b��', 'xxx…')
    """
    words = text if isinstance(text, str) else str(text)
    if len(words) > most:
        words = words[: most - 1] + "…"
    if words.isprintable():
        return words
    kept = _JOINERS + "\n" if lines else _JOINERS
    return "".join(c if c.isprintable() or c in kept else " " if c.isspace() else STAND_IN for c in words)


def all_shown(data: Any) -> Any:
    """Data that go to a browser, with every text in them made fit to be shown.

    Args:
        data: tables, lists, numbers, texts and bytes, nested.
    """
    if isinstance(data, str):
        return shown(data, LONGEST_ERROR, lines=True)
    if isinstance(data, dict):
        return {shown(key): all_shown(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [all_shown(value) for value in data]
    return data


def in_xml(text: object, most: int = LONGEST) -> str:
    """Text between tags or in an attribute's quotes of XML, SVG and HTML.

    Args:
        text: anything.
        most: characters at most, before they are escaped.

    Example:
        >>> in_xml("</script>")
        '&lt;/script&gt;'
    """
    return html.escape(shown(text, most), quote=True)


def in_dot(text: object, most: int = LONGEST) -> str:
    r"""Text as a quoted string of Graphviz' language; line breaks are kept.

    Args:
        text: anything.
        most: characters at most, before they are escaped.

    Example:
        >>> in_dot('a"b')
        '"a\\"b"'
    """
    words = shown(text, most, lines=True)
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def in_python(text: str) -> str:
    r"""Text as a quoted string of a Python program, in which every letter can be read.

    Args:
        text: any text; the string has the very same.

    Example:
        >>> in_python("a\nb\ud800")
        '"a\\nb\\ud800"'
    """
    words = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() or c in _JOINERS else ascii(c)[1:-1] for c in words) + '"'


def told(error: BaseException) -> str:
    """What a user is told of any exception; of those that are not ours also the type.

    Args:
        error: what was raised.

    Example:
        >>> told(KeyError("shape"))
        "KeyError: 'shape'"
    """
    try:
        words = str(error)
    except Exception:  # noqa: BLE001  (an exception whose text raises)
        words = ""
    if not isinstance(error, LabError):
        words = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return shown(words, LONGEST_ERROR, lines=True)


def traced(error: BaseException) -> str:
    """The traceback of an exception, for a log; of a recursion only its ends. Any log can write it.

    Args:
        error: what was raised.
    """
    lines = traceback.format_exception(error, limit=None if not isinstance(error, RecursionError) else -20)
    return "".join(lines).encode("utf-8", "backslashreplace").decode()

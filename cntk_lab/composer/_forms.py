"""What the fields of a form take: shapes, numbers with units, flags, choices, texts; and what users write into them.

Whatever is written becomes one expression or is refused: a field never reaches beyond its own argument. Kinds are
found from defaults and from the documentation of the layers, so that a new layer needs no line here.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cntk_lab._words import in_python
from cntk_lab.errors import AttributeValueError
from cntk_lab.tensor.randomness import AUTO_SEED

ACTIVATIONS: Final = (
    "identity", "relu", "sigmoid", "tanh", "leaky_relu", "elu", "selu", "softplus", "softmax", "log_softmax",
    "hard_sigmoid", "softsign", "exp",
)  # fmt: skip
INITIALIZERS: Final = {
    "glorot_uniform": "C.glorot_uniform()", "glorot_normal": "C.glorot_normal()", "he_uniform": "C.he_uniform()",
    "he_normal": "C.he_normal()", "xavier": "C.xavier()", "uniform": "C.uniform(0.05)", "normal": "C.normal(0.05)",
    "truncated_normal": "C.truncated_normal(0.05)", "zeros": "0",
}  # fmt: skip
ELEMENT_TYPES: Final = ("float32", "float64", "float16")
_SHAPES: Final = frozenset(
    {"shape", "filter_shape", "strides", "dilation", "cell_shape", "output_shape", "pooling_window_shape", "rf_shape",
     "unpooling_window_shape", "perm", "axes", "roi_output_shape"}
)  # fmt: skip
_TEXTS: Final = frozenset({"name", "op_name", "recurrent_op", "sequence_axis_name_prefix"})
_UNITS: Final = ("elements", "frames", "samples", "seconds", "minibatches", "channels", "units", "filters", "layers")
_NUMBER: Final = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_CHOSEN: Final = repr(AUTO_SEED)
_MEANS: Final = {"yes": "True", "on": "True", "true": "True", "no": "False", "off": "False", "false": "False"}


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter of an entry as a line of a form.

    Args:
        name: of the parameter.
        default: as code; "" where it must be given.
        required: whether it must be given.
        kind: ``shape``, ``number``, ``integer``, ``flag``, ``choice``, ``text`` or ``code``.
        choices: what is offered: words -> code.
        unit: of a number; "" if it has none.
        help: one sentence.
    """

    name: str
    default: str
    required: bool
    kind: str = "code"
    choices: Mapping[str, str] | None = None
    unit: str = ""
    help: str = ""

    def plain(self) -> dict[str, Any]:
        """As plain data for a form."""
        return {
            "name": self.name, "default": self.default, "required": self.required, "kind": self.kind,
            "choices": [[k, v] for k, v in (self.choices or {}).items()], "unit": self.unit, "help": self.help,
        }  # fmt: skip


def field_of(name: str, default: Any, code: str, *, required: bool, starting: Any, words: str) -> Field:
    """The field of a parameter.

    Args:
        name: of the parameter.
        default: its default value; ignored if it is required.
        code: the default as code.
        required: whether it must be given.
        starting: what it is at first, if it is required.
        words: what the documentation says about it.
    """
    value = starting if required else default
    kind, choices = _kind(name, value)
    unit = next((u for u in _UNITS if re.search(rf"\bin {u}\b", words)), "") if kind != "flag" else ""
    return Field(name, "" if required else code, required, kind, choices, unit, words)


def _kind(name: str, value: Any) -> tuple[str, Mapping[str, str] | None]:
    if name == "activation":
        return "choice", {n: "C.layers.identity" if n == "identity" else f"C.{n}" for n in ACTIVATIONS}
    if name == "dtype":
        return "choice", {n: in_python(n) for n in ELEMENT_TYPES}
    if name == "init":
        return "choice", INITIALIZERS
    if name in _TEXTS:
        return "text", None
    if name in _SHAPES:
        return "shape", None
    if isinstance(value, bool):
        return "flag", None
    if name.startswith("num_") or name.endswith(("_size", "_rank", "_dim", "_radius")) or name in ("axis", "T", "k"):
        return "integer", None
    if isinstance(value, (int, float)):
        return "number", None
    return "code", None


def documented(target: Any) -> dict[str, str]:
    """What a function's documentation says about its parameters: the first sentence of each."""
    text = inspect.getdoc(target) or ""
    _, _, rest = text.partition("Args:\n")
    out: dict[str, str] = {}
    name = ""
    for line in rest.split("\n"):
        if line and not line.startswith("    "):
            break
        found = re.match(r"    (\w+): (.*)", line)
        if found is not None:
            name = found[1]
            out[name] = found[2].strip()
        elif name and line.strip():
            out[name] += f" {line.strip()}"
    return {k: v.replace("``", "") for k, v in out.items()}


# ---- what users write


def understood(field: Field, text: str) -> str:
    """What a user wrote into a field, as code; "" gives the default back.

    Raises:
        AttributeValueError: if it is no value of this kind; says what would be.

    Example:
        >>> shape = Field("shape", "", True, "shape")
        >>> understood(shape, "1,28,28"), understood(shape, "1 x 28 x 28"), understood(shape, "64")
        ('(1, 28, 28)', '(1, 28, 28)', '64')
    """
    text = text.strip()
    if not text:
        return ""
    found = _READ[field.kind](field, text) if field.kind in _READ else None
    return found if found is not None else expression(text, field)


def _shape(_: Field, text: str) -> str | None:
    inner = text.removeprefix("(").removesuffix(")").removeprefix("[").removesuffix("]")
    parts = [p for p in re.split(r"\s*[,x×*;]\s*|\s+", inner.strip()) if p]
    if not parts or not all(re.fullmatch(r"-?\d+", p) for p in parts):
        return None
    brackets = text[0] in "([" or text.endswith(",")
    return parts[0] if len(parts) == 1 and not brackets else f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _number(field: Field, text: str) -> str | None:
    bare = text.removesuffix(field.unit).strip() if field.unit else text
    if bare.endswith("%") and _NUMBER.fullmatch(bare[:-1].strip()):
        return repr(float(bare[:-1]) / 100)
    if not _NUMBER.fullmatch(bare):
        return None
    bare = bare.lstrip("+")
    if field.kind == "integer" and not re.fullmatch(r"-?[\d_]+", bare):
        raise AttributeValueError(f"{field.name}: {text} is no whole number", fix="such as 16")
    return bare.lstrip("0") if re.fullmatch(r"0+[1-9]\d*", bare) else bare


def _flag(_: Field, text: str) -> str | None:
    return _MEANS.get(text.lower())


def _choice(field: Field, text: str) -> str | None:
    choices = field.choices or {}
    bare = text.strip("\"'").removeprefix("C.").removeprefix("layers.").removesuffix("()").lower()
    return choices.get(bare)


def _text(_: Field, text: str) -> str:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return in_python(text)
    return text if isinstance(value, str) else in_python(text)


_READ: Final = {"shape": _shape, "number": _number, "integer": _number, "flag": _flag, "choice": _choice, "text": _text}
_SUCH_AS: Final = {
    "shape": "numbers such as 1, 28, 28", "number": "a number such as 0.5", "integer": "a whole number such as 16",
    "flag": "True or False", "text": "a name", "code": "an expression such as C.relu or (3, 3)",
}  # fmt: skip


def expression(text: str, field: Field) -> str:
    """Text that is one expression; one of several values is put into brackets.

    Raises:
        AttributeValueError: if it is none.
    """
    such_as = f"one of {', '.join(field.choices)}" if field.choices else _SUCH_AS.get(field.kind, "an expression")
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise AttributeValueError(f"{field.name}: {text[:60]!r} is no value", fix=such_as) from None
    if isinstance(node, ast.Name) and text not in ("C", "x") and field.kind in ("number", "integer", "flag", "shape"):
        raise AttributeValueError(f"{field.name}: {text[:60]!r} is no value", fix=such_as)
    if isinstance(node, ast.Starred) or "\n" in text:
        raise AttributeValueError(f"{field.name}: {text[:60]!r} is more than one value", fix=such_as)
    return f"({text})" if isinstance(node, ast.Tuple) and not text.startswith("(") else text


def as_written(field: Field, code: str) -> str:
    """A value in the words in which the form shows it."""
    if not code:
        return ""
    if code == _CHOSEN:
        return "chosen anew"
    if code == "None":
        return "none"
    if field.choices is not None:
        return next((word for word, choice in field.choices.items() if choice == code), code)
    if field.kind == "shape" and re.fullmatch(r"\((\s*-?\d+\s*,?)+\)", code):
        one = code.count(",") == 1 and code[:-1].rstrip().endswith(",")
        return code if one else code[1:-1].strip().removesuffix(",")
    if field.kind == "text":
        try:
            value = ast.literal_eval(code)
        except (ValueError, SyntaxError):
            return code
        return value if isinstance(value, str) else code
    return code

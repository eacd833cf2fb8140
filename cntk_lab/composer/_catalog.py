"""What a composed program may call: layers, operators, inputs and initializers, with their parameters as forms.

Filled from the packages themselves: whatever ``layers`` and ``ops`` offer is here without being named, except what
reads files or runs code of the user's. Knows no program and no graph.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cntk_lab import initializer, layers, ops
from cntk_lab._words import in_python
from cntk_lab.axis import Axis
from cntk_lab.composer._forms import ACTIVATIONS, Field, documented, field_of
from cntk_lab.default_options import default_options, is_default_override
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import OpDef
from cntk_lab.graph.registry import all_ops

GROUPS: Final = ("Sequential", "For", "ResNetBlock", "SequentialClique")
CELLS: Final = ("LSTM", "GRU", "RNNStep", "RNNUnit")
_LEAVES: Final = ("input_variable", "sequence.input_variable", "parameter", "constant", "placeholder")
_VARIADIC: Final = {"plus": 2, "element_times": 2, "element_max": 2, "element_min": 2, "log_add_exp": 2}
_KEPT_OUT: Final = frozenset(
    {
        "custom_proxy_op",
        "native_user_function",
        "register_native_user_function",
        "user_function",
        "as_block",
        "as_composite",
        "output_variable",
        "placeholder_variable",
        "BlockFunction",
        "input",
        "sequence.input",
        "assign",
    }
)
_LAYERS_KEPT_OUT: Final = frozenset(
    {
        "BlockFunction",
        "ForwardDeclaration",
        "UntestedBranchError",
        "UnfoldFrom",
        "ParameterTensor",
        "Sequence",
        "SequenceOver",
        "Signature",
        "SparseTensor",
        "Tensor",
        "tensor",
    }
)


@dataclass(frozen=True)
class Entry:
    """One thing that a program may name.

    Args:
        path: how it is reached from ``C``: ``layers.Dense``, ``relu``, ``sequence.last``.
        kind: ``layer`` and ``group`` make functions, ``op`` is applied to operands, ``leaf`` makes a variable,
            ``value`` is an initializer, an axis or a number.
        target: the Python object.
        operands: names of the parameters that are operands; a name with a star takes any number.
        summary: one line for the palette.
    """

    path: str
    kind: str
    target: Any
    operands: tuple[str, ...] = ()
    summary: str = ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def code(self) -> str:
        """How generated programs write it."""
        return f"C.{self.path}"

    @functools.cached_property
    def signature(self) -> inspect.Signature | None:
        """The Python signature, where there is one."""
        try:
            return inspect.signature(self.target)
        except (TypeError, ValueError):
            return None

    @functools.cached_property
    def fields(self) -> tuple[Field, ...]:
        """The parameters that are not operands, in order."""
        if self.signature is None:
            return ()
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        out = []
        words = documented(self.target)
        for p in self.signature.parameters.values():
            if p.name in self.operands or p.kind in kinds or (self.kind == "group" and p.name in _CONTENTS):
                continue
            required = p.default is inspect.Parameter.empty
            default = p.default.value if is_default_override(p.default) else p.default
            out.append(
                field_of(
                    p.name, default, "" if required else as_code(default), required=required,
                    starting=STARTING_VALUES.get(p.name), words=words.get(p.name, ""),
                )
            )  # fmt: skip
        return tuple(out)


_CONTENTS: Final = ("layers", "constructor", "f", "functions", "step_function", "folder_function")


def as_code(value: Any) -> str:
    """A parameter's value as Python that a program may hold; what has no such form is described in angle brackets.

    Args:
        value: number, text, tuple, list, entry of the catalog or its target, default of a layer.
    """
    if is_default_override(value):
        value = value.value
    if isinstance(value, Entry):
        return value.code
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value) if not isinstance(value, str) else in_python(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, (tuple, list)):
        inner = ", ".join(as_code(v) for v in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if value is layers.identity:
        return "C.layers.identity"
    entry = by_target().get(id(value))
    if entry is not None:
        return entry.code
    if isinstance(value, initializer.Initializer):
        return _initializer_code(value)
    return f"<{type(value).__name__}>"


_INITIALIZERS: Final = {
    "glorotUniform": "glorot_uniform", "glorotNormal": "glorot_normal", "heUniform": "he_uniform",
    "heNormal": "he_normal", "xavier": "xavier", "uniform": "uniform", "normal": "normal", "bilinear": "bilinear",
    "truncatedNormal": "truncated_normal",
}  # fmt: skip


def _initializer_code(value: Mapping[str, Any]) -> str:
    name = _INITIALIZERS.get(str(value.get("initializerType", "")), "glorot_uniform")
    scale = value.get("scale", 1.0)
    required = name in ("uniform", "normal")
    return f"C.{name}({scale if required or scale != 1.0 else ''})"


def _first_line(target: Any) -> str:
    return (inspect.getdoc(target) or "").split("\n", 1)[0].strip().replace("``", "")


def _operands(function: Callable[..., Any], name: str, definition: OpDef | None) -> tuple[str, ...]:
    declared = {o.name for o in definition.operands} if definition is not None else set()
    found = [
        f"*{p.name}" if p.kind is inspect.Parameter.VAR_POSITIONAL else p.name
        for p in inspect.signature(function).parameters.values()
        if p.annotation in ("Operand", "Operand | None") or p.name in declared
    ]
    if name in _VARIADIC:
        return ("arg1", "arg2", "*more")
    return ("*operands",) if name == "combine" else tuple(found)


def _ops() -> dict[str, Entry]:
    definitions = {op.name: op for op in all_ops()}
    out: dict[str, Entry] = {}
    for prefix, module in (("", ops), ("sequence.", ops.sequence)):
        for name, target in vars(module).items():
            path = prefix + name
            ours = inspect.isfunction(target) and target.__module__.startswith("cntk_lab.ops")
            if not ours or name.startswith("_") or path in _KEPT_OUT:
                continue
            if path in _LEAVES:
                out[path] = Entry(path, "leaf", target, (), _first_line(target))
                continue
            operands = _operands(target, name, definitions.get(name))
            if operands:
                summary = _first_line(target) or _first_line_of(definitions.get(name))
                out[path] = Entry(path, "op", target, operands, summary)
    return out


def _first_line_of(definition: OpDef | None) -> str:
    return "" if definition is None else definition.doc.strip().split("\n", 1)[0]


@functools.cache
def catalog() -> dict[str, Entry]:
    """Every entry by its path."""
    out = _ops()
    for name in layers.__all__:
        target = getattr(layers, name)
        if name in _LAYERS_KEPT_OUT or not (inspect.isfunction(target) or isinstance(target, Function)):
            continue
        if inspect.isfunction(target) and not target.__module__.startswith("cntk_lab.layers"):
            continue  # the door hands on what belongs elsewhere
        path = f"layers.{name}"
        kind = "op" if isinstance(target, Function) else "group" if name in GROUPS else "layer"
        out[path] = Entry(path, kind, target, ("x",) if kind == "op" else (), _first_line(target))
    for name in initializer.__all__:
        target = getattr(initializer, name)
        if inspect.isfunction(target) and name != "initializer_with_rank":
            out[name] = out[f"initializer.{name}"] = Entry(name, "value", target, (), _first_line(target))
    for path in ("default_options", "layers.default_options"):
        out[path] = Entry(path, "options", default_options)
    out["Axis"] = Entry("Axis", "value", Axis)
    for name in ("default_batch_axis", "default_dynamic_axis", "new_unique_dynamic_axis", "all_static_axes",
                 "all_axes"):  # fmt: skip
        out[f"Axis.{name}"] = Entry(f"Axis.{name}", "value", getattr(Axis, name))
    out["InferredDimension"] = Entry("InferredDimension", "number", -1)
    out["FreeDimension"] = Entry("FreeDimension", "number", -3)
    for alias, path in (("Input", "input_variable"), ("Parameter", "parameter"), ("Constant", "constant")):
        out[alias] = out[path]
    for name in ("classification_error", "edit_distance_error", "ndcg_at_1"):
        out[f"metrics.{name}"] = out[name]
    for name in ("cross_entropy_with_softmax", "squared_error", "binary_cross_entropy"):
        out[f"losses.{name}"] = out[name]
    return out


@functools.cache
def by_target() -> dict[int, Entry]:
    """Every entry by the identity of its Python object."""
    return {id(entry.target): entry for entry in reversed(list(catalog().values())) if entry.kind != "number"}


def find(name: str) -> Entry | None:
    """The entry of a path, or of a last part of one, as users write in commands: ``Dense``, ``layers.Dense``.

    Args:
        name: the path, with or without ``C.``.
    """
    name = name.removeprefix("C.")
    known = catalog()
    return known.get(name) or known.get(f"layers.{name}") or known.get(f"sequence.{name}")


def entry_of(operator: str) -> Entry | None:
    """The entry of an operator by the name of its declaration.

    Args:
        operator: ``plus``, ``_past_value``, ``sequence_last``.
    """
    bare = operator.lstrip("_")
    for path in (operator, bare, bare.replace("sequence_", "sequence.", 1), f"sequence.{bare}"):
        found = catalog().get(path)
        if found is not None and found.kind == "op":
            return found
    return None


CATEGORIES: Final = ("layers", "groups", "inputs", "sequences", "operators")
_KINDS: Final = {
    "dense": ("Dense", "Embedding"), "convolution": ("Convolution",), "pooling": ("Pooling", "Unpooling"),
    "normalization": ("Normalization", "Stabilizer"), "regularization": ("Dropout",),
    "recurrent": ("LSTM", "GRU", "RNN", "Recurrence", "Fold", "Delay", "PastValue", "past_value", "future_value"),
    "attention": ("Attention",), "activation": ("Activation",), "loss": ("loss", "cross_entropy", "error"),
}  # fmt: skip


def _group(entry: Entry) -> str:
    """What sort of thing an entry is, for its colour and its sign; "" for what has none."""
    if entry.kind in ("leaf", "group"):
        return "input" if entry.kind == "leaf" else "group"
    if entry.name in ACTIVATIONS:
        return "activation"
    for kind, words in _KINDS.items():
        if any(w in entry.name for w in words):
            return kind
    return "sequence" if entry.path.startswith("sequence.") else "operator"


_FIRST: Final = ("Dense", "Convolution2D", "MaxPooling", "Dropout", "BatchNormalization", "LSTM", "GRU", "Embedding",
                 "GlobalAveragePooling", "LayerNormalization", "Activation", "AttentionModel")  # fmt: skip
"""What most networks are made of: the palette begins with it."""


def category(entry: Entry) -> str:
    """Under which heading the palette shows an entry; "" if it does not."""
    if entry.kind == "group":
        return "groups"
    if entry.kind == "layer":
        return "layers"
    if entry.kind == "leaf":
        return "inputs"
    if entry.kind != "op":
        return ""
    return "sequences" if entry.path.startswith("sequence.") else "operators"


UNLISTED: Final = frozenset(
    {
        "layers.RNNUnit", "layers.RecurrenceFrom", "layers.Deconvolution", "batch_normalization", "convolution",
        "convolution_transpose", "cosine_distance_with_negative_samples", "crop_automatic",
        "crop_automatic_with_ancestors", "crop_manual", "edit_distance_error", "forward_backward", "gather",
        "hierarchical_softmax_layer", "image_scaler", "lambda_rank", "ndcg_at_1", "nce_loss", "optimized_rnnstack",
        "pooling", "roipooling", "unpooling", "to_batch", "to_sequence", "to_sequence_like", "unpack_batch",
        "reconcile_dynamic_axes", "sequence.where", "sequence.scatter", "sequence.gather", "eye_like", "alias",
        "per_dim_mean_variance_normalize", "random_sample", "random_sample_inclusion_frequency", "combine",
    }
)  # fmt: skip
"""What programs may call but the palette does not offer: parts of layers, old names, and what no default suits."""


@functools.cache
def palette() -> tuple[dict[str, Any], ...]:
    """Everything that can be added, as plain data: path, name, category, summary, fields."""
    seen: set[str] = set()
    out = []
    for entry in catalog().values():
        heading = category(entry)
        if not heading or entry.path in seen or entry.path in UNLISTED:
            continue
        seen.add(entry.path)
        out.append(
            {
                "path": entry.path,
                "name": entry.name,
                "category": heading,
                "group": _group(entry),
                "summary": entry.summary,
                "operands": list(entry.operands),
                "fields": [{"name": f.name, "default": f.default, "required": f.required} for f in entry.fields],
            }
        )

    def place(e: dict[str, Any]) -> tuple[int, int, str]:
        name = str(e["name"])
        return CATEGORIES.index(str(e["category"])), (*_FIRST, name).index(name), name.lower()

    return tuple(sorted(out, key=place))


STARTING_VALUES: Final[dict[str, Any]] = {
    "shape": 10, "filter_shape": (3, 3), "num_filters": 16, "window_size": 2, "axis": -1, "dropout_rate": 0.5,
    "layers": [], "name": "label", "rf_shape": (3, 3), "begin_index": 0, "end_index": 1, "min_value": 0,
    "max_value": 1, "num_classes": 10, "dtype": "float32", "T": 1, "pattern": [(0, 0)], "perm": (0,), "k": 1,
    "attention_dim": 16, "value": 0, "axis1": 0, "axis2": 1, "block_size": 2, "axes": (0,), "exponent": 2,
    "depth_radius": 2, "bias": 1, "alpha": 1, "beta": 0.75, "padding_value": 0,
}  # fmt: skip
"""What a required parameter of this name is at first, when something is added without saying."""

_EITHER: Final[dict[str, dict[str, Any]]] = {"Dropout": {"dropout_rate": 0.5}, "Embedding": {"shape": 10}}
"""Layers that want one of several parameters: the one that is given if none is."""


def starting(entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with which an entry is added: those given, and something sensible for those required.

    Args:
        entry: what is added.
        given: parameters that the user gave.
    """
    out: dict[str, Any] = {}
    for f in entry.fields:
        if f.name in given:
            out[f.name] = given[f.name]
        elif f.required:
            out[f.name] = _starting_value(entry, f.name)
    out.update({k: v for k, v in given.items() if k not in out})
    if entry.kind == "layer" and not set(out) - {"name"}:
        out = {**_EITHER.get(entry.name, {}), **out}
    if entry.kind == "leaf" and not set(out) & {"shape", "value", "init"}:
        out = {**({"value": 1} if entry.name == "constant" else {"shape": 10}), **out}
    if "Convolution" in entry.name:
        out.setdefault("num_filters", 16)
        out.setdefault("pad", True)
    if entry.name in ("MaxPooling", "AveragePooling") and "strides" not in out:
        out["strides"] = 2
    return out


def _starting_value(entry: Entry, name: str) -> Any:
    if name == "filter_shape":
        if entry.name.endswith("Pooling"):
            return (2, 2)
        if entry.name[-2:] in ("1D", "3D"):
            return (3,) * int(entry.name[-2])
        if entry.name == "SequentialConvolution":
            return (3,)
    return STARTING_VALUES.get(name, 1)

"""Whether an ONNX file computes what its function computes: run beside it at several batch sizes and ragged lengths.

Must not know how the file was made. onnxruntime runs it if it is installed, else the reference evaluator of ``onnx``;
both are optional (the extra ``onnx``) and this is the only place that knows them.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cntk_lab._files import atomic_file
from cntk_lab.errors import FormatError, LabError, NotAvailableError
from cntk_lab.formats.onnx.records import Model
from cntk_lab.formats.onnx.write import AXES_KEY
from cntk_lab.graph import infer, walk
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import Reals, Trait
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.shape import FREE

BAR: Final = 1e-4
"""Largest difference, relative to the element or, for small ones, to the output's mean size; float16 has its own."""
BATCHES: Final = (1, 2, 7)
LENGTHS: Final = {1: (5,), 2: (6, 9), 7: (8, 5, 11, 6, 9, 5, 7)}
"""Samples in the minibatch -> frames of each sequence."""
FREE_SIZE: Final = 12
"""Elements along a free static axis."""
_HALF_BAR: Final = 2e-2
_HOW: Final = 'pip install "cntk-lab[onnx]", or say verify=False'

Feeds = dict[str, NDArray[Any]]
Runner = Callable[[Feeds], Sequence[NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One output at one batch size: largest absolute and relative difference, and what is allowed."""

    output: str
    batch: int
    absolute: float
    relative: float
    bar: float
    remark: str = ""

    @property
    def within(self) -> bool:
        """Whether the difference is allowed."""
        return bool(self.relative <= self.bar)


@dataclass(slots=True)
class Report:
    """What came out when an exported file was run beside its function.

    Args:
        runtime: what ran the file; empty if nothing did.
        rows: one for each output and batch size.
        remark: why nothing was compared.
    """

    runtime: str = ""
    rows: list[Difference] = field(default_factory=list)
    remark: str = ""

    @property
    def worst(self) -> float:
        """The largest relative difference."""
        return max((r.relative for r in self.rows), default=0.0)

    @property
    def within(self) -> bool:
        """Whether every difference is allowed."""
        return all(r.within for r in self.rows)

    def __str__(self) -> str:
        if not self.rows:
            return f"not verified: {self.remark}"
        lines = [f"verified in {self.runtime}; largest differences, absolute and relative:"]
        lines += [
            f"  {r.output} at batch {r.batch}: {r.absolute:.3g}, {r.relative:.3g} {r.remark}".rstrip()
            for r in self.rows
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write the report as a page.

        Args:
            filename: the file, ``*.html``.

        Raises:
            FormatError: if it cannot be written.
        """
        head = "<tr><th>output<th>batch<th>absolute<th>relative<th>allowed<th>remark</tr>"
        rows = "".join(
            f"<tr><td>{html.escape(r.output)}<td>{r.batch}<td>{r.absolute:.3g}<td>{r.relative:.3g}<td>{r.bar:.3g}"
            f"<td>{html.escape(r.remark)}</tr>"
            for r in self.rows
        )
        said = html.escape(str(self).splitlines()[0])
        page = (
            '<!doctype html><meta charset="utf-8"><title>ONNX export</title>'
            "<style>body{font:15px system-ui;margin:2em;color-scheme:light dark}td,th{padding:.2em 1em;text-align:left}"
            f"</style><h1>ONNX export</h1><p>{said}</p><table>{head}{rows}</table>"
        )
        with atomic_file(filename) as file:
            file.write(page.encode())


def verify(function: Function, model: Model, data: bytes | str) -> Report:
    """Run a file beside its function.

    Args:
        function: what was exported.
        model: what the file says.
        data: the file's bytes, or its name.

    Returns:
        The report; whoever asked decides what a difference above the bar means.

    Raises:
        NotAvailableError: if nothing is installed that can run the file.
        FormatError: if the file does not run.
    """
    runtime, run = _runner(data)
    report = Report(runtime)
    seed = np.random.default_rng(1)
    drawn = [n for n in walk.flat_nodes(function.outputs) if n.op.has(Trait.RANDOM) and not n.op.has(Trait.VIEW)]
    loose = any(n.op.name != "dropout" for n in drawn)
    half = any(o.type.dtype == "float16" for n in walk.flat_nodes(function.outputs) for o in n.outputs)
    bar = _HALF_BAR if half else BAR
    fed = {entry["name"]: entry for entry in entries_of(model)}
    batches = BATCHES if any(a.type.axes for a in function.arguments) else BATCHES[:1]
    for batch in batches:
        data_of, feeds = numbers(function, list(fed), fed, batch, seed)
        try:
            ours = values_of(function, data_of)
        except LabError as error:
            report.remark = f"the function does not take random numbers: {error.what}"
            return report
        try:
            theirs = run(feeds)
        except Exception as error:
            raise FormatError(
                f"the exported file does not run in {runtime} at batch {batch}: {str(error)[:300]}",
                fix="report this with the model; verify=False writes the file as it is",
            ) from error
        for output, value, other in zip(function.outputs, ours, theirs, strict=True):
            name = output.name or walk.resolve(output).name or output.uid
            report.rows.append(difference(name, batch, value, other, bar=bar, loose=loose))
    return report


def entries_of(model: Model) -> list[dict[str, Any]]:
    """What an exported file says of its inputs: names and axes, or whose lengths they are."""
    found: list[dict[str, Any]] = json.loads(dict(model.metadata)[AXES_KEY])["inputs"]
    return found


# ---- who runs it


def _runner(data: bytes | str) -> tuple[str, Runner]:
    try:
        import onnxruntime  # noqa: TID251
    except ImportError:
        return _reference(data)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if "NOT_IMPLEMENTED" in str(error):  # an element type that this runtime has no code for
            return _reference(data)
        raise FormatError(
            f"onnxruntime refuses the exported file: {str(error)[:300]}", fix="report this with the model"
        ) from error
    return f"onnxruntime {onnxruntime.__version__}", lambda feeds: session.run(None, feeds)


def _reference(data: bytes | str) -> tuple[str, Runner]:
    try:
        import onnx  # noqa: TID251
        from onnx.reference import ReferenceEvaluator  # noqa: TID251
    except ImportError:
        raise NotAvailableError(
            "the exported file cannot be verified: neither onnxruntime nor onnx is installed", fix=_HOW
        ) from None
    proto = onnx.load(data) if isinstance(data, str) else onnx.load_from_string(data)
    evaluator: Any = ReferenceEvaluator(proto)
    return f"onnx {onnx.__version__}'s reference evaluator", lambda feeds: evaluator.run(None, feeds)


# ---- numbers to feed


def numbers(
    function: Function, names: Sequence[str], fed: Mapping[str, Any], batch: int, random: np.random.Generator
) -> tuple[dict[Variable, Any], Feeds]:
    """Random numbers for each input: as the function takes them, and as the file does."""
    ours: dict[Variable, Any] = {}
    theirs: Feeds = {}
    frames: dict[str, list[int]] = {}
    arguments = iter(function.arguments)
    taken = _domains(function)
    for name in names:
        entry = fed[name]
        if "lengths" in entry:
            theirs[name] = np.asarray(frames.setdefault(entry["lengths"], list(LENGTHS[batch])), np.int64)
            continue
        variable = next(arguments)
        dims = tuple(FREE_SIZE if d == FREE else d for d in variable.type.dims)
        dtype = variable.type.dtype or "float32"
        facts = taken.get(id(walk.resolve(variable)), Reals())
        axes = variable.type.axes or ()
        if len(axes) < 2:
            values = _draw(facts, (batch, *dims) if axes else dims, dtype, random)
            theirs[name] = values
            ours[variable] = csr_matrix(values) if variable.type.sparse else values
            continue
        lengths = frames.setdefault(next(a for a in entry["axes"] if a != "batch"), list(LENGTHS[batch]))
        sequences = [_draw(facts, (n, *dims), dtype, random) for n in lengths]
        ours[variable] = [csr_matrix(v) for v in sequences] if variable.type.sparse else sequences
        padded = np.zeros((batch, max(lengths), *dims), dtype)
        for row, values in zip(padded, sequences, strict=True):
            row[: len(values)] = values
            row[len(values) :] = values[0]  # what stands there must not matter, and must be a place where places are
        theirs[name] = padded
    return ours, theirs


def _domains(function: Function) -> dict[int, Reals]:
    """Input -> the numbers that the operators reading it take."""
    found: dict[int, Reals] = {}
    for node in walk.flat_nodes(function.outputs):
        scope = infer.scope_of(node, node.types)
        names = [p.name for p in node.op.operands]
        for at, v in enumerate(walk.resolved_inputs(node)):
            facts = node.op.domain.get(names[min(at, len(names) - 1)]) if names else None
            if v.is_input and facts is not None:
                if node.op.name == "_gather" and at:
                    facts = Reals(0, max(0, scope["reference"].dims[0] - 1), whole=True)
                found.setdefault(id(v), facts)
            elif v.is_input and v.type.sparse:
                found.setdefault(id(v), Reals(one_hot=True))
    return found


def _draw(facts: Reals, shape: tuple[int, ...], dtype: str, random: np.random.Generator) -> NDArray[Any]:
    if facts.one_hot and shape:
        return np.eye(shape[-1], dtype=dtype)[random.integers(0, shape[-1], shape[:-1])]
    if facts.whole:
        return random.integers(int(facts.low), int(facts.high) + 1, shape).astype(dtype)
    values = random.uniform(facts.low, facts.high, shape)
    for kink in facts.avoid:
        values = np.where(np.abs(values - kink) < 0.05, kink + 0.1, values)
    return values.astype(dtype)


# ---- comparing


def values_of(function: Function, data: dict[Variable, Any]) -> list[Any]:
    """The values of all outputs, in their order."""
    outputs = list(function.outputs)
    found = function.eval(data, outputs=outputs) if data else function.eval(outputs=outputs)
    if len(outputs) == 1:
        return [found[outputs[0]] if isinstance(found, dict) else found]
    return [found[o] for o in outputs]


def _dense(value: Any) -> Any:
    """Rows that are held sparse as an array."""
    return value.toarray() if hasattr(value, "toarray") else np.asarray(value)


def difference(name: str, batch: int, ours: Any, theirs: Any, *, bar: float, loose: bool) -> Difference:
    """How far two values of an output are apart; of random ones only the shapes are compared."""
    theirs = np.asarray(theirs)
    if isinstance(ours, list):  # a sequence each: what stands behind its end is nobody's
        ours = [_dense(s) for s in ours]
        if len(ours) != len(theirs) or any(theirs[i].shape[0] < len(s) for i, s in enumerate(ours)):
            return Difference(name, batch, np.inf, np.inf, bar, f"shape {theirs.shape} for {len(ours)} sequences")
        pairs = [(s, theirs[i][: len(s)]) for i, s in enumerate(ours)]
    else:
        pairs = [(_dense(ours), theirs)]
    absolute = relative = 0.0
    size = float(np.mean([np.mean(np.abs(a[np.isfinite(a)])) if np.isfinite(a).any() else 0 for a, _ in pairs]))
    for a, b in pairs:
        if a.shape != b.shape:
            return Difference(name, batch, np.inf, np.inf, bar, f"shape {b.shape}, not {a.shape}")
        if loose:
            continue
        x, y = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
            share = np.where(apart == 0, 0.0, apart / np.maximum(np.abs(x), max(size, 1e-6)))
        absolute = max(absolute, float(np.max(np.nan_to_num(apart, nan=np.inf), initial=0.0)))
        relative = max(relative, float(np.max(np.nan_to_num(share, nan=np.inf), initial=0.0)))
    return Difference(name, batch, absolute, relative, bar, "random numbers: only shapes compared" if loose else "")

"""Every operator that says how ONNX writes it is written, run elsewhere at batch 1, 2 and 7, and compared.

All samples of one operator with the same axes go into one file, so that each is run once for a batch size.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import FormatError
from cntk_lab.formats.onnx import encode, read, write
from cntk_lab.formats.onnx.verify import BAR, BATCHES, difference, entries_of, numbers, values_of, verify
from cntk_lab.graph import registry
from cntk_lab.graph.opdef import Trait

pytest.importorskip("onnxruntime")

_SPEC = importlib.util.spec_from_file_location("every_op_cases", Path(__file__).with_name("test_every_op.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
samples = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = samples
_SPEC.loader.exec_module(samples)

REFUSED = {
    "assign-0-batch", "eye_like-0-batch", "eye_like-2-batch", "_sequential_convolution-0-sequence",
    "_sequential_convolution-1-sequence", "labels_to_graph-0-batch", "labels_to_graph-0-sequence",
    "_gather-2-sequence", "random_sample-0-batch", "_nce_loss-0-batch", "_nce_loss-0-sequence",
    "random_sample_inclusion_frequency-0-batch", "random_sample_inclusion_frequency-1-batch", "unpooling-0-batch",
    "unpooling-0-sequence", "unpooling-1-batch", "unpooling-1-sequence", "roipooling-0-batch", "lambda_rank-0-batch",
    "ndcg_at_1-0-batch", "edit_distance_error-0-batch", "edit_distance_error-0-sequence",
    "edit_distance_error-1-batch", "edit_distance_error-1-sequence",
    "cosine_distance_with_negative_samples-0-batch", "cosine_distance_with_negative_samples-0-sequence",
}  # fmt: skip
"""Uses that ONNX, or this exporter, cannot say; all others are exported."""

ONLY_OUT = {"_gather-2-batch"}
"""Written with GatherND, which is not read."""

GROUPS: dict[str, list[object]] = defaultdict(list)
for _case in samples.CASES:
    if str(_case) not in REFUSED:
        GROUPS[f"{_case.op.name}-{_case.axes}"].append(_case)


@pytest.mark.parametrize("name", GROUPS)
def test_every_operator_runs_in_onnxruntime_at_every_batch_size(name: str) -> None:
    function = C.combine([samples.use(case, "float32").function for case in GROUPS[name]])
    model = write.describe(function)
    report = verify(function, model, encode.write(model))
    assert report.runtime.startswith("onnxruntime")
    assert report.within, str(report)
    batches = BATCHES if any(v.type.axes for v in function.arguments) else BATCHES[:1]
    assert len(report.rows) == len(batches) * len(function.outputs), report.remark
    for value in model.graph.inputs:  # the axes in front have names, never sizes
        assert value.type is not None
        assert value.type.dims is not None
        lead = len(next((a.type.axes for a in function.arguments if a.name == value.name), ()))
        assert all(isinstance(d, str) for d in value.type.dims[:lead])


@pytest.mark.parametrize("name", [n for n in GROUPS if n.endswith("-batch")])
def test_every_operator_comes_in_again_with_the_same_values(name: str) -> None:
    function = C.combine([samples.use(case, "float32").function for case in GROUPS[name] if str(case) not in ONLY_OUT])
    model = write.describe(function)
    again = read.load(encode.write(model))
    entries = {entry["name"]: entry for entry in entries_of(model)}
    ours, theirs = numbers(function, list(entries), entries, 7, np.random.default_rng(2))
    drawn = any(case.op.has(Trait.RANDOM) and case.op.name != "dropout" for case in GROUPS[name])
    assert {a.name for a in again.arguments} <= set(entries)
    pairs = zip(values_of(function, ours), values_of(again, {a: theirs[a.name] for a in again.arguments}), strict=True)
    for one, other in pairs:
        found = difference("y", 7, one, other.toarray() if hasattr(other, "toarray") else other, bar=BAR, loose=drawn)
        assert found.within, f"{name}: {found}"


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_said_is_refused_with_its_node(name: str) -> None:
    case = next(c for c in samples.CASES if str(c) == name)
    with pytest.raises(FormatError, match="cannot be written as ONNX: ") as error:
        write.describe(samples.use(case, "float32").function)
    assert error.value.where
    assert error.value.fix


def test_every_declared_rule_is_exported_by_a_sample_but_those_refused_whole() -> None:
    tried = {case.op.name for cases in GROUPS.values() for case in cases}
    declared = {op.name for op in registry.all_ops() if op.onnx is not None}
    assert declared - tried == {"unpooling", "roipooling", "_crop_automatic"}

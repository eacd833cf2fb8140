"""CNTK's primitive functions and operators: both directions of the table, on everything that CNTK saved."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk import _packed, codecs, description, operators
from cntk_lab.formats.cntk.dictionary import NDShape, SizeT, StoredAxis, read

FOLDER = Path(__file__).parents[2] / "golden" / "models"
BATCH, TIME = Axis.default_batch_axis(), Axis.default_dynamic_axis()


def all_primitives() -> list[tuple[str, Any, Any]]:
    found = []
    for path in sorted(FOLDER.glob("*.model")):
        model = description.from_dictionary(read(path), path.name)
        shapes = {v.uid: v.shape for v in model.variables}
        plain = [f for f in model.functions if f.user is None and f.block is None]
        found.extend((path.stem, record, shapes) for record in plain)
    return found


def test_every_attribute_that_cntk_saved_is_read_and_written_back() -> None:
    seen = set()
    for name, record, shapes in all_primitives():
        attributes = {k: v for k, v in record.attributes.items() if k not in ("customAttributes", "rngOffset")}
        known = [shapes.get(uid) for uid in record.inputs]
        ranks = [-1 if s is None else len(s) for s in known]
        if record.op == operators.NUMBERS["Reshape"] and ranks[0] < 0:
            continue
        use = operators.read_use(record.op, record.attributes, len(record.inputs), ranks)
        if use is None:
            if operators.NAMES[record.op] != "Where":
                assert attributes == {}, (name, operators.NAMES[record.op])
            continue
        seen.add(record.op)
        if operators.NAMES[record.op] == "ConvolutionSequenceShape":
            assert use.op == "sequential_convolution"
            continue
        if operators.is_reduction(use.op):
            stored = operators.write_reduction(use.op, use.attributes, ranks[0])
        elif use.op.startswith("convolution"):
            if known[0] is None:
                continue
            stored = operators.write_convolution(use.op, use.attributes, known[0], len(attributes["kernelShape"]))
        elif use.op == "to_sequence":
            continue
        else:
            written = operators.write_use(use.op, use.attributes, len(record.inputs), ranks)
            assert written is not None, use.op
            stored = written
        now = {k: v for k, v in stored.attributes.items() if k != "rngOffset"}
        if use.op in ("pooling", "unpooling", "convolution", "convolution_transpose"):
            now, attributes = (
                {k: v for k, v in d.items() if k not in ("lowerPad", "upperPad")} for d in (now, attributes)
            )
        if "axis" in now and len(attributes.get("axisVec", [])) == 1 and operators.is_reduction(use.op):
            attributes["axis"] = attributes.pop("axisVec")[0]
        aliases = {1: 75, 56: 62}
        assert stored.number == aliases.get(record.op, record.op)
        assert description.same(now, attributes), (name, record, stored)
    assert len(seen) >= 30


def test_numbers_are_those_of_cntk() -> None:
    assert [
        operators.NUMBERS[n] for n in ("Negate", "Plus", "Times", "Block", "NoOp", "StopGradient", "StableSigmoid")
    ] == [
        0,
        19,
        31,
        57,
        62,
        64,
        75,
    ]
    assert operators.NUMBERS["ConvolutionSequenceShape"] == 97


@pytest.mark.parametrize(("stored", "python"), [(0, -1), (1, -2), (-1, 0), (-2, 1)])
def test_axes_are_counted_from_the_other_side(stored: int, python: int) -> None:
    axis = StoredAxis(stored, f"staticAxisIdx={stored}", ordered=True)
    assert codecs.axis_from_file(axis) == python
    assert codecs.axis_to_file(python, 3).position == (stored if stored >= 0 else 3 + stored)


def test_reshape_of_a_part_keeps_its_part() -> None:
    attributes = {
        "newShape": NDShape((12,)),
        "beginAxis": StoredAxis(0, "", ordered=True),
        "endAxis": StoredAxis(2, "", ordered=True),
    }
    use = operators.read_use(16, attributes, 1, [3])
    assert use == operators.Use("reshape", (0,), {"shape": (12,), "begin_axis": 1, "end_axis": 3})


@pytest.mark.parametrize(
    ("number", "attributes", "what"),
    [
        (87, {}, "the attribute 'numItems' is missing"),
        (87, {"numItems": "two", "axis": StoredAxis(0, "", ordered=True)}, "the attribute 'numItems' is 'two'"),
        (39, {"reductionOpName": "Median"}, "there is no reduction 'Median'"),
        (76, {"randomDistributionType": "cauchy"}, "there is no random distribution 'cauchy'"),
        (89, {"fillValue": 2.0}, "filled with 2.0"),
        (12, {"axisVec": 3}, "'axisVec' is 3, not a vector"),
        (
            17,
            {"poolingType": SizeT(0), "poolingWindowShape": NDShape((2,)), "lowerPad": NDShape((1,))},
            "explicit padding",
        ),
    ],
)
def test_attributes_that_make_no_sense_are_refused_by_name(number: int, attributes: Any, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        operators.read_use(number, attributes, 1, [2])


CASES: list[tuple[str, list[str], tuple[Axis, ...], dict[str, int]]] = [
    ("sequence_first", ["x"], (BATCH,), {}),
    ("sequence_last", ["x"], (BATCH,), {}),
    ("sequence_gather", ["x", "mask"], (BATCH, Axis("kept")), {}),
    ("sequence_scatter", ["x", "mask"], (BATCH, TIME), {}),
    *(
        ("sequence_slice", ["x"], (BATCH, Axis("part")), {"begin_index": begin, "end_index": end})
        for begin, end in ((1, 3), (-3, -1), (1, 0), (0, -1), (1, -1), (0, 2), (-2, 0))
    ),
]


@pytest.mark.parametrize(("op", "operands", "axes", "attributes"), CASES)
def test_selections_of_frames_are_read_as_they_were_written(
    op: str, operands: list[str], axes: Any, attributes: Any
) -> None:
    count = itertools.count()
    emitter = _packed.Emitter(lambda kind: f"{kind}{next(count)}", "float32")
    _packed.FORMS[op](emitter, _packed.Place(operands, axes, attributes, "Result", "name"))
    found = _packed.selection(_packed.Records(emitter.functions, emitter.variables), emitter.functions[-1])
    assert (emitter.functions[-1].uid, emitter.functions[-1].name) == ("Result", "name")
    named = [(axes[-1].name, True), (BATCH.name, False)] if op in ("sequence_gather", "sequence_slice") else None
    assert found is not None
    assert _named(found.axes) == named
    assert replace(found, axes=None) == _packed.Selection(op, tuple(operands), attributes)


def _named(axes: Any) -> list[tuple[str, bool]] | None:
    """Dynamic axes as the file lists them, the sequence first: name, and whether it is ordered."""
    return None if axes is None else [(a.name, a.ordered) for a in axes]


def test_selections_in_files_of_cntk_are_recognised() -> None:
    found = []
    for name in ("sequence_operators", "sequence_slices", "sequence_selection"):
        model = description.from_dictionary(read(FOLDER / f"{name}.model"))
        known = _packed.Records(model.functions, model.variables)
        chosen = [_packed.selection(known, f) for f in model.functions if f.op in (29, 30)]
        found.append([(c.op, *c.attributes.values()) for c in chosen if c is not None])
    assert found == [
        [("sequence_last",), ("sequence_first",)],
        [("sequence_slice", 1, 3)],
        [("sequence_last",), ("sequence_scatter",), ("sequence_gather",)],
    ]


def test_sequential_convolution_is_recognised_as_one_operator() -> None:
    model = description.from_dictionary(read(FOLDER / "sequential_convolution.model"))
    known = _packed.Records(model.functions, model.variables)
    (found,) = [c for f in model.functions if (c := _packed.sequential_convolution(known, f)) is not None]
    assert [known.variables[uid].kind for uid in found.inputs] == ["Parameter", "Placeholder"]
    assert [operators.NAMES[f.op or 0] for f in model.functions if _packed.is_inner_part(known, f)] == [
        "ConvolutionSequenceShape",
        "StopGradient",
    ]
    use = operators.read_use(97, found.attributes, 2, [3, 1])
    assert use is not None
    assert (use.op, use.attributes["auto_padding"]) == ("sequential_convolution", [False, True])

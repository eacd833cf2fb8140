"""Models that CNTK 2.7 saved load, compute what CNTK computed, and are written back as they were."""

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import cntk_lab as C
from cntk_lab import formats
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk import description, operators, read, write
from cntk_lab.formats.cntk import dictionary as files

FOLDER = Path(__file__).parents[2] / "golden" / "models"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
NAMES = sorted(n for n in EXPECTED if not n.startswith("checkpoint_"))


def load(name: str) -> Any:
    """The model, or a skip that names the operator that this version of the package does not have yet."""
    try:
        return formats.load(FOLDER / f"{name}.model")
    except FormatError as error:
        if "update this package" in error.fix or name == "user_function":
            pytest.skip(error.what)
        raise


def array(entry: Any) -> Any:
    if isinstance(entry, list):
        return [array(e) for e in entry]
    return np.array(entry["data"], entry["dtype"]).reshape(entry["shape"])


def feed(variable: Any, name: str) -> Any:
    data = next(array(a["values"]) for a in EXPECTED[name]["arguments"] if a["name"] == variable.name)
    if not variable.is_sparse:
        return data
    return [scipy.sparse.csr_matrix(d) for d in data] if isinstance(data, list) else scipy.sparse.csr_matrix(data)


@pytest.mark.parametrize("name", [n for n in NAMES if EXPECTED[n]["compare"] != "none"])
def test_loaded_models_compute_what_cntk_computed(name: str) -> None:
    model = load(name)
    assert [list(o.shape) for o in model.outputs] == [
        [-3 if d == "free" else d for d in s] for s in EXPECTED[name]["shapes"]
    ]
    values = model.eval({v: feed(v, name) for v in model.arguments})
    if not isinstance(values, dict):
        values = {model.output: values}
    for output, entry in zip(model.outputs, EXPECTED[name]["outputs"], strict=True):
        got, wanted = values[output], array(entry)
        if not isinstance(wanted, list):
            got, wanted = [got], [wanted]
        for one, other in zip(got, wanted, strict=True):
            dense = one.toarray() if scipy.sparse.issparse(one) else np.asarray(one)
            assert dense.shape == other.shape
            if EXPECTED[name]["compare"] == "values":
                np.testing.assert_allclose(dense, other, rtol=1e-5, atol=1e-6)


def is_number(variable: Any) -> bool:
    """Whether a leaf is a scalar constant without a name: attributes may be written as such, under new uids."""
    return bool(variable.kind == "Constant" and not variable.name and variable.value.size == 1)


def reads(record: Any, model: Any, known: set[str]) -> list[Any]:
    """What a function reads: uids, the values of scalar constants, and parts without a known uid by what they are."""
    return [_read(u, model, known) for u in record.inputs]


def _read(uid: str, model: Any, known: set[str]) -> Any:
    leaf = next((v for v in model.variables if v.uid == uid), None)
    if leaf is not None and is_number(leaf):
        return float(leaf.value.flat[0])
    made = description.function_of_output(uid)
    if leaf is not None or made is None or made[0] in known:
        return uid
    part = model.function(made[0])
    return part.op, made[1], reads(part, model, known), plain(part.attributes)


def plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes without what a program may write in two ways: one axis alone or as a vector of one."""
    result = {k: v for k, v in attributes.items() if k not in ("rngOffset", "lowerPad", "upperPad")}
    if len(result.get("axisVec", [])) == 1:
        result["axis"] = result.pop("axisVec")[0]
    if "newDynamicAxes" in result:  # an axis of its own has a name that the program makes
        result["newDynamicAxes"] = [_made_by(a.name) for a in result["newDynamicAxes"]]
    if result.get("sequential"):  # padding of the channels says nothing: files never pad them
        result["autoPadding"] = result["autoPadding"][:-1]
    return result


def _made_by(axis: str) -> str:
    return re.sub(r"^(toSequence_|ConvOverSequenceAxisPrefix|whereNodeDynamicAxis_conditionVar_).*", r"\1", axis)


@pytest.mark.parametrize("name", NAMES)
def test_models_are_written_back_as_they_were(name: str) -> None:
    model = load(name)
    was = description.from_dictionary(files.read(FOLDER / f"{name}.model"))
    now = write.describe(model)
    assert (now.root, now.uid, now.name) == (was.root, was.uid, was.name)
    leaves = {v.uid: v for v in now.variables}
    for variable in was.variables:
        if variable.kind != "Placeholder" and not is_number(variable):
            assert leaves[variable.uid] == variable
            assert variable.value is None or np.array_equal(leaves[variable.uid].value, variable.value)  # type: ignore[arg-type]
    functions = {f.uid: f for f in now.functions}
    known = {record.uid for record in was.functions if record.uid in functions}
    for record in was.functions:
        if record.uid in functions:
            assert functions[record.uid].op == record.op
            if record.op == description.BLOCK:  # its operands may stand in another order: the pairs say which is which
                assert functions[record.uid].block is not None
                now_, was_ = reads(functions[record.uid], now, known), reads(record, was, known)
                assert sorted(map(str, now_)) == sorted(map(str, was_))
            else:
                assert reads(functions[record.uid], now, known) == reads(record, was, known)
            assert functions[record.uid].name == record.name
            if record.op != description.BLOCK:
                assert description.same(plain(functions[record.uid].attributes), plain(record.attributes))
    again = read.build(now)
    assert [o.shape for o in again.outputs] == [o.shape for o in model.outputs]


def test_names_uids_and_kinds_survive() -> None:
    model = load("dense_layers")
    assert sorted(p.name for p in model.parameters) == ["W", "W", "W", "b", "b"]
    assert all(p.uid.startswith("Parameter") for p in model.parameters)
    assert model.find_by_name("d2").root_function.op_name == "Dense"
    assert model.arguments[0].name == "x"


def test_saved_twice_gives_the_same_model(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    x = C.input_variable(2, name="x")
    f = C.plus(
        C.times(x, C.parameter((2, 3), init=np.arange(6, dtype=np.float32).reshape(2, 3), name="W")), 1, name="z"
    )
    f.custom_attributes = {"epoch": 3}
    formats.save(f, path)
    loaded = formats.load(path)
    assert (loaded.name, loaded.uid, loaded.shape) == ("z", f.uid, (3,))
    assert loaded.root_function.custom_attributes == {"epoch": 3}
    np.testing.assert_array_equal(loaded.eval({loaded.arguments[0]: [[1, 2]]}), [[7, 10, 13]])
    assert write.describe(loaded).functions == write.describe(f).functions
    assert formats.load(path.read_bytes()).shape == (3,)


def test_sequential_convolutions_with_strides_are_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    x = C.sequence.input_variable((2, 5), name="x")
    f = C.layers.SequentialConvolution((3, 2), 3, strides=(2, 1), init=0.5)(x)
    formats.save(f, path)
    loaded = formats.load(path)
    data = [np.arange(40, dtype=np.float32).reshape(4, 2, 5), np.ones((6, 2, 5), np.float32)]
    assert loaded.shape == f.shape == (3, 4)
    for one, other in zip(loaded.eval({loaded.arguments[0]: data}), f.eval({x: data}), strict=True):
        np.testing.assert_array_equal(one, other)


def test_constants_that_are_no_longer_read_leave_the_blocks() -> None:
    now = write.describe(load("delay_layers"))
    read_ = {uid for f in now.functions if f.block is None for uid in f.inputs}
    read_ |= {outer for f in now.functions if f.block is not None for _, outer in f.block.arguments}
    assert {v.uid for v in now.variables if v.kind == "Constant"} == {u for u in read_ if u.startswith("Constant")}


def test_two_copies_of_one_loaded_model_get_uids_of_their_own() -> None:
    one, two = load("dense_layers"), load("dense_layers")
    both = write.describe(C.combine([one, two]))
    uids = [v.uid for v in both.variables] + [f.uid for f in both.functions]
    assert len(uids) == len(set(uids))
    assert len(read.build(both).parameters) == 10


def test_restore_puts_the_saved_numbers_back_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    x = C.input_variable(2)

    def network(start: float) -> Any:
        return C.plus(C.times(x, C.parameter((2, 3), init=start, name="W")), C.parameter((3,), init=start, name="b"))

    saved, other, wider = network(1), network(5), C.times(x, C.parameter((2, 4), init=0, name="W"))
    formats.save(saved, path)
    saved.parameters[0].value = np.full((2, 3), 9)
    formats.restore(saved, path)
    formats.restore(other, path)
    assert [p.value.max() for p in (*saved.parameters, *other.parameters)] == [1, 1, 1, 1]
    with pytest.raises(FormatError, match="the file holds another model: its values are W"):
        formats.restore(wider, path)
    assert wider.parameters[0].value.max() == 0


def test_user_functions_are_never_imported_by_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "golden_functions", types.ModuleType("golden_functions"))
    with pytest.raises(FormatError, match=r"needs the user's function golden_functions\.Doubled") as caught:
        formats.load(FOLDER / "user_function.model")
    assert "import golden_functions" in caught.value.fix


@pytest.mark.parametrize(
    ("model", "format_", "what"),
    [
        ("nowhere.model", None, "there is no model file 'nowhere.model'"),
        (3, None, "cannot load a model from a int"),
        (
            b"garbage that is no model",
            None,
            "this is no CNTK model but a text, which begins 'garbage that is no model'",
        ),
        (b"B\0C\0N\0\0\0B\0V\0", None, "no text ends within 4096 characters"),
        (b"", "Keras", "there is no model format 'Keras'"),
    ],
)
def test_what_is_no_model_is_refused_by_name(model: Any, format_: Any, what: str) -> None:
    with pytest.raises(FormatError, match=what) as caught:
        formats.load(model, format=format_)
    assert caught.value.fix


def test_unknown_primitive_names_its_function() -> None:
    entries = files.read(FOLDER / "free_dimension.model")
    entries["primitive_functions"][0]["op"] = files.SizeT(201)  # type: ignore[call-overload, index]
    with pytest.raises(FormatError, match="there is no primitive function of number 201") as caught:
        read.build(description.from_dictionary(entries), "some.model")
    assert caught.value.where.startswith("some.model, function 'Times")


def _kinds(function: Any) -> list[str]:
    return [r.block.op_name if r.block else operators.NAMES[r.op or 0] for r in write.describe(function).functions]


def test_reductions_that_cntk_s_primitive_does_alone_have_no_block() -> None:
    x, s = C.input_variable((2, 3)), C.sequence.input_variable((2, 3))
    static, everything = C.Axis.all_static_axes(), C.Axis.all_axes()
    batch = C.Axis.default_batch_axis()
    alone = [C.argmax(x), C.argmin(x, 0), C.reduce_sum(x, static, keepdims=False), C.reduce_sum(x, [batch])]
    assert all(_kinds(f) == ["ReduceElements"] for f in alone)
    blocks = [C.reduce_sum(x), C.reduce_max(x, 0), C.reduce_mean(x, [0, 1]), C.reduce_mean(x, batch)]
    blocks += [C.reduce_max(x, static), C.reduce_mean(s, everything)]
    assert all(_kinds(f) == ["ReduceElements"] * 2 for f in blocks)
    assert _kinds(C.reduce_sum(x, [batch, 0])) == ["ReduceElements"] * 3
    assert _kinds(C.reduce_sum(x, 1, keepdims=False)) == ["ReduceElements", "Reshape", "ReduceElements"]
    assert _kinds(C.sequence.reduce_sum(s)) == ["UnpackSequenceOp", "ReduceElements", "Sequence::ReduceElements"]


def test_inner_functions_of_loaded_blocks_get_no_second_block() -> None:
    s = C.sequence.input_variable((2, 3), name="s")
    model = C.combine([C.reduce_sum(s, 0), C.sequence.last(s), C.elu(s), C.sequence.is_first(s)])
    once = read.build(write.describe(model))
    assert _kinds(once) == _kinds(model)
    assert _kinds(read.build(write.describe(once))) == _kinds(model)


def test_constants_of_blocks_are_in_cntks_order() -> None:
    """By this order CNTK copies the values of a checkpoint into a model of its own."""
    p = C.parameter((), init=0.5)
    described = write.describe(C.layers.Stabilizer()(C.input_variable(3)))
    values = {v.uid: v.value for v in described.variables}
    kept = [float(values[uid]) for uid in described.functions[-1].inputs if values[uid] is not None]
    assert kept[:3] == [0, 4, 4]
    described = write.describe(C.selu(C.input_variable(3)) * p)
    block = next(f for f in described.functions if f.block is not None)
    values = {v.uid: v.value for v in described.variables}
    assert [round(float(values[u]), 4) for u in block.inputs[:3]] == [1.0507, 0.0, 1.6733]


def test_attributes_of_reductions_are_shown_as_cntk_shows_them() -> None:
    x = C.input_variable((2, 3))
    shown = [C.reduce_sum(x, 0), C.reduce_l1(x, 1), C.softmax(x, 0), C.log_softmax(x), C.flatten(x)]
    assert [f.root_function.attributes for f in shown] == [
        {"axisVec": [("ordered", "static", -1)], "reductionKeepDimensions": True, "reductionOpName": "Sum"},
        {"axisVec": [("ordered", "static", -2)], "reductionKeepDimensions": True},
        {"axis": ("ordered", "static", -1)},
        {"axis": ("ordered", "static", 0)},
        {"axis": ("ordered", "static", 2)},
    ]


def test_samples_beside_frames_are_repeated_in_the_file() -> None:
    s, y = C.sequence.input_variable((2, 3)), C.input_variable((2, 3))
    assert _kinds(s + y) == ["ReconcileDynamicAxis", "Plus"]
    assert _kinds(C.element_times(y, s)) == ["ReconcileDynamicAxis", "ElementTimes"]
    assert _kinds(C.clip(s, y, y)) == ["ReconcileDynamicAxis", "ReconcileDynamicAxis", "Clip"]
    assert _kinds(C.times(C.reshape(s, (3, 2)), y))[-2:] == ["ReconcileDynamicAxis", "Times"]
    assert _kinds(C.splice(C.sequence.broadcast_as(y, s), s))[-2:] == ["Sequence::BroadcastAs", "Splice"]
    assert _kinds(s + 1) == ["Plus"]
    loaded = formats.load(write.to_bytes(C.times(C.reshape(s, (3, 2)), y)))
    frames, sample = np.arange(12, dtype=np.float32).reshape(2, 2, 3), np.ones((1, 2, 3), np.float32)
    found = loaded.eval(dict(zip(loaded.arguments, ([frames], sample), strict=True)))
    np.testing.assert_array_equal(found[0][:, :, 0], frames.reshape(2, 3, 2).sum(axis=2))


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        (lambda s: C.sequence.gather(s, C.greater(s, 0)), [1, 2.5, 5.25]),
        (lambda s: C.sequence.slice(s, 1, 0), [0, 2, 5]),
    ],
    ids=["gather", "slice"],
)
def test_recurrences_over_chosen_frames_are_read_back_along_their_axis(choose: Any, expected: list[float]) -> None:
    """The file names the axis of the chosen frames on the edge back, too; the loaded model makes an axis of its own."""
    s = C.sequence.input_variable((), name="s")
    chosen = choose(s)
    back = C.placeholder((), dynamic_axes=chosen.dynamic_axes)
    f = chosen + 0.5 * C.sequence.past_value(back)
    f = f.replace_placeholders({back: f.output})
    loaded = formats.load(write.to_bytes(f))
    frames = np.array([1, 0, 2, 4], np.float32)
    for model in (f, loaded, formats.load(write.to_bytes(loaded))):
        for _ in range(3):
            np.testing.assert_array_equal(model.eval({model.arguments[0]: [frames]})[0], expected)


def test_squeeze_keeps_its_axes() -> None:
    x = C.input_variable((1, 2, 1, 3))
    for axes, shape in ((None, (2, 3)), ((-2,), (1, 2, 3)), (0, (2, 1, 3))):
        assert formats.load(write.to_bytes(C.squeeze(x, axes))).shape == shape


def test_a_recurrence_behind_a_convolution_over_time_is_read() -> None:
    """Its edges back name the new sequence axis as CNTK did; the file is number 38 of ``golden/training/check.py``."""
    model = formats.load(FOLDER.parent / "checkpoints" / "composition_38")
    assert [o.shape for o in model.outputs] == [(3,), (), (), (1,), ()]
    assert len(model.parameters) == 10

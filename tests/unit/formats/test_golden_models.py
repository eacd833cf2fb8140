"""The files that CNTK 2.7 wrote: read, described, written back byte for byte; damaged copies of them are refused."""

import json
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk import checkpoint, description
from cntk_lab.formats.cntk.dictionary import decode, encode, read

FOLDER = Path(__file__).parents[2] / "golden" / "models"
MODELS = sorted(
    p for p in FOLDER.iterdir() if p.suffix == ".model" or (p.name.startswith("checkpoint_") and not p.suffix)
)
CHECKPOINTS = sorted(FOLDER.glob("*.ckp"))
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def name(path: Path) -> str:
    return path.name


def test_there_are_more_than_sixty_models_and_all_learners() -> None:
    assert len(MODELS) >= 80
    assert {p.name for p in CHECKPOINTS} >= {f"checkpoint_{n}.ckp" for n in ("sgd", "adam", "rmsprop", "two_learners")}
    assert {p.stem for p in MODELS} == set(EXPECTED)


@pytest.mark.parametrize("path", MODELS + CHECKPOINTS, ids=name)
def test_files_come_back_byte_for_byte(path: Path) -> None:
    assert encode(read(path)) == path.read_bytes()


@pytest.mark.parametrize("path", MODELS, ids=name)
def test_descriptions_hold_everything_that_files_hold(path: Path) -> None:
    entries = read(path)
    model = description.from_dictionary(entries, path.name)
    assert description.same(description.to_dictionary(model), entries)
    assert {v.kind for v in model.variables} <= {"Input", "Parameter", "Constant", "Placeholder"}


@pytest.mark.parametrize("path", CHECKPOINTS, ids=name)
def test_checkpoints_hold_everything_that_files_hold(path: Path) -> None:
    entries = read(path)
    record = checkpoint.from_dictionary(entries, path.name)
    assert description.same(checkpoint.to_dictionary(record), entries)
    assert sum(r.samples for r in record.learners[:1]) == EXPECTED[path.stem]["samples"] == 12
    assert record.external == EXPECTED[path.stem]["external_state"]


def test_description_of_a_small_model_in_full() -> None:
    model = description.from_dictionary(read(FOLDER / "free_dimension.model"))
    (parameter,) = (v for v in model.variables if v.kind == "Parameter")
    (argument,) = (v for v in model.variables if v.kind == "Input")
    assert (argument.name, argument.shape, argument.dtype, [a.name for a in argument.axes or ()]) == (
        "x",
        (-3, 3),
        "float32",
        ["defaultBatchAxis"],
    )
    assert parameter.shape == (3, 2)
    assert parameter.value is not None
    np.testing.assert_allclose(parameter.value[0], [0.0833333, 0.25], atol=1e-6)
    (times,) = model.functions
    assert (times.op, times.inputs, model.root) == (31, (parameter.uid, argument.uid), times.uid)
    assert times.attributes == {"outputRank": 1, "inferInputRankToMap": -1}


def test_blocks_know_their_root_and_their_arguments() -> None:
    model = description.from_dictionary(read(FOLDER / "structure.model"))
    blocks = {f.block.op_name: f for f in model.functions if f.block is not None}
    inner = blocks["Twice"].block
    assert inner is not None
    assert model.function(inner.root).op == 19
    assert [description.function_of_output(outer) is not None for _, outer in inner.arguments] == [True, True]
    assert blocks["Outer"].name == "outer"


def test_user_functions_are_named_and_not_executed() -> None:
    model = description.from_dictionary(read(FOLDER / "user_function.model"))
    (user,) = (f.user for f in model.functions if f.user is not None)
    assert (user.module, user.class_name, user.state) == ("golden_functions", "Doubled", {"factor": 3.0})


def test_adam_checkpoint_holds_both_moments() -> None:
    record = checkpoint.read_checkpoint(FOLDER / "checkpoint_adam.ckp")
    (adam,) = record.learners
    assert [a.shape for a in adam.smoothed] == [(4, 3), (2, 3), (6, 1)]
    second, first = checkpoint.unpack_states(adam.smoothed[0], (2, 3), 2)
    assert (second > 0).all()
    assert (first < 0).any()
    assert (checkpoint.pack_states([second, first]) == adam.smoothed[0]).all()
    assert adam.smoothed_count == 3.0
    assert adam.rate.values == ((0, 0.02),)
    assert record.external["nested"] == {"rate": 0.5}


def damaged(data: bytes, generator: random.Random) -> bytes:
    """A copy with one of five kinds of damage."""
    at, kind = generator.randrange(len(data)), generator.randrange(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([data[at] ^ 1 << generator.randrange(8)]) + data[at + 1 :]
    if kind == 2:
        return data[:at] + generator.randbytes(4) + data[at + 4 :]
    if kind == 3:
        return data[:at] + generator.randbytes(generator.randrange(1, 9)) + data[at:]
    end = min(len(data), at + generator.randrange(1, 64))
    return data[:at] + data[end:]


def test_damaged_copies_are_read_or_refused_within_bounded_memory() -> None:
    generator = random.Random(4)
    tried = refused = accepted = 0
    tracemalloc.start()
    for path in [*MODELS, *CHECKPOINTS]:
        data = path.read_bytes()
        if len(data) > 30_000:
            continue
        for _ in range(6):
            tried += 1
            copy = damaged(data, generator)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                entries = decode(copy, path.name)
                if path.suffix == ".ckp":
                    checkpoint.from_dictionary(entries, path.name)
                else:
                    description.from_dictionary(entries, path.name)
            except FormatError as error:
                refused += path.name in error.where and bool(error.fix)
            else:
                accepted += 1
            assert tracemalloc.get_traced_memory()[1] - before < 30 * len(data) + 200_000
    tracemalloc.stop()
    assert refused + accepted == tried
    assert refused > 300


def test_every_truncation_is_refused() -> None:
    data = (FOLDER / "delays.model").read_bytes()
    for end in range(1, len(data)):
        with pytest.raises(FormatError):
            description.from_dictionary(decode(data[:end]))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda d: d.pop("root"), "the entry 'root' is missing"),
        (lambda d: d.update(root="Plus999"), "there is no function 'Plus999'"),
        (lambda d: d.update(type="Dictionary"), "this is a 'Dictionary', not a model"),
        (lambda d: d.update(version=type(d["version"])(9)), "version 9; the newest there is"),
        (lambda d: d["inputs"].append(d["inputs"][0]), "appears twice"),
        (lambda d: d["inputs"].pop(), "which does not exist"),
        (lambda d: d["inputs"].append(3), "a int, not a dictionary"),
        (lambda d: d["inputs"][0].update(kind=type(d["version"])(1)), "1 is no kind of a leaf variable"),
        (lambda d: d["inputs"][0].update(data_type=type(d["version"])(77)), "there is no element type 77"),
        (lambda d: d["primitive_functions"][0].update(op="Times"), "the entry 'op' is a str, not a int"),
        (lambda d: d["primitive_functions"][0].update(type="X"), "neither a 'PrimitiveFunction' nor"),
        (lambda d: d["primitive_functions"][0]["inputs"].append(1), "a int, not a text"),
        (
            lambda d: next(v for v in d["inputs"] if "value" in v).update(value=np.zeros((9, 9), np.float32)),
            r"an array of shape \(9, 9\) for a variable of shape",
        ),
        (
            lambda d: next(v for v in d["inputs"] if "value" in v).update(value=np.zeros((3, 2))),
            "an array of float64 for a variable of float32",
        ),
    ],
)
def test_models_that_contradict_themselves_are_refused(change: object, what: str) -> None:
    entries = read(FOLDER / "free_dimension.model")
    change(entries)  # type: ignore[operator]
    with pytest.raises(FormatError, match=what) as caught:
        description.from_dictionary(entries, "some.model")
    assert caught.value.where.startswith("some.model, under ")

"""Objects carry what users hang on them, and what other frameworks do with them (Keras notes shapes there)."""

import copy
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cntk_lab as C

MAKERS: dict[str, Any] = {
    "input": lambda: C.input_variable(2),
    "placeholder": lambda: C.placeholder(),
    "parameter": lambda: C.parameter(2),
    "constant": lambda: C.constant([1, 2]),
    "output": lambda: (C.input_variable(2) + 1).output,
    "function": lambda: C.input_variable(2) + 1,
    "primitive": lambda: (C.input_variable(2) + 1).root_function,
    "block": lambda: C.layers.Dense(2)(C.input_variable(2)),
    "combined": lambda: C.combine([C.parameter(1), C.parameter(2)]),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_attributes_of_the_user_stay_where_they_are_put(make: Any) -> None:
    thing, other = make(), make()
    assert not hasattr(thing, "_keras_shape")
    thing._keras_shape = (None, 2)
    assert thing._keras_shape == (None, 2)
    assert not hasattr(other, "_keras_shape")
    del thing._keras_shape
    assert not hasattr(thing, "_keras_shape")


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_attributes_change_neither_equality_nor_hash_nor_weak_references(make: Any) -> None:
    thing, other = make(), make()
    places, weak = {thing: 1, other: 2}, weakref.ref(thing)
    thing.note, other.note = "same", "same"
    assert (places[thing], places[other], thing == other, weak() is thing) == (1, 2, False, True)


def test_attributes_survive_in_what_a_graph_gives_back() -> None:
    x, w = C.input_variable(2), C.parameter((2, 3))
    x.note, w.note = "x", "w"
    z = C.times(x, w)
    assert [z.arguments[0].note, z.parameters[0].note] == ["x", "w"]


def test_a_variable_without_attributes_is_light() -> None:
    x = C.input_variable(2)
    before = sys.getsizeof(x)
    assert before <= 160  # slots, not a dictionary: that one is made with the first attribute
    x.note = 1
    assert vars(x) == {"note": 1}


def test_attributes_of_ours_are_none_of_the_users() -> None:
    x = C.input_variable(2)
    assert vars(x) == {}
    for name in ("shape", "dtype", "dynamic_axes"):
        with pytest.raises(AttributeError):
            setattr(x, name, 3)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_shallow_copy_is_the_thing_itself_and_bytes_are_refused(make: Any) -> None:
    thing = make()
    assert copy.copy(thing) is thing
    with pytest.raises(TypeError, match="can be neither pickled nor deeply copied"):
        copy.deepcopy(thing)


@pytest.mark.parametrize("kind", ["input", "placeholder", "parameter", "constant", "output"])
def test_variables_are_not_callable_and_functions_are(kind: str) -> None:
    # Keras calls what is callable: callable(x) has to tell them apart
    thing = MAKERS[kind]()
    assert not callable(thing)
    with pytest.raises(TypeError, match="object is not callable"):
        thing()
    assert callable(MAKERS["function"]())


def test_nothing_combined_can_be_asked_and_searched() -> None:
    nothing = C.combine([])
    assert (nothing.outputs, nothing.arguments, nothing.find_all_with_name("a")) == ((), (), [])


@pytest.fixture
def _aligned() -> Iterator[None]:
    C.set_global_option("align_axis", 1)
    yield
    C.set_global_option("align_axis", 0)


@pytest.mark.usefixtures("_aligned")
@pytest.mark.parametrize(
    ("cut", "shape", "first"),
    [
        (lambda x: x[:, 1], (1, 3), 3.0),
        (lambda x: x[:, 0:2, 1:3], (2, 2), 1.0),
        (lambda x: x[..., 1:], (4, 2), 1.0),
        (lambda x: x[:, :, [0, 2]], (4, 2), 0.0),
    ],
)
def test_with_align_axis_brackets_count_the_batch_axis(cut: Any, shape: tuple[int, ...], first: float) -> None:
    x = C.input_variable((4, 3))
    part = cut(x)
    assert part.shape == shape
    value = part.eval({x: np.arange(12, dtype="f").reshape(1, 4, 3)})
    assert value.shape == (1, *shape)
    assert value.flat[0] == first


@pytest.mark.usefixtures("_aligned")
def test_with_align_axis_static_operands_and_axis_offset_say_where_brackets_begin() -> None:
    assert C.parameter((4, 3))[1].shape == (1, 3)
    s = C.sequence.input_variable((4, 3))
    assert s[:, :, 1].shape == (1, 3)
    with C.default_options(axis_offset=1):
        assert s[:, 1].shape == (1, 3)

"""What newcomers try first and get wrong: each is refused in three parts."""

from __future__ import annotations

import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.errors import LabError

MISTAKES = {
    "an activation by name": (lambda: C.layers.Dense(3, activation="relu"), "give C.relu"),
    "an activation by name, for all": (lambda: _with_options(activation="tanh"), "give C.tanh"),
    "a letter in a shape": (lambda: C.input_variable((2, "a")), "a dimension of 'a'"),
    "a letter for an axis": (lambda: C.reduce_sum(C.input_variable(3), axis="a"), "'a' is no axis"),
    "a word for a rate": (lambda: C.dropout(C.input_variable(3), "a"), "the rate is 'a'"),
    "a path for a deserializer": (lambda: C.io.MinibatchSource("a.ctf"), "a str stands where a deserializer"),
    "a number for a stream": (lambda: C.io.MinibatchSourceFromData({"x": 3}), "stream 'x': a int is no data"),
}


def _with_options(**options):
    with C.default_options(**options):
        return C.layers.Convolution2D((3, 3), 4)


@pytest.mark.parametrize("name", MISTAKES)
def test_first_mistakes_are_refused_in_words(name):
    make, words = MISTAKES[name]
    with pytest.raises(LabError) as error:
        make()
    assert words in str(error.value)


def test_a_switch_that_is_no_number_says_which_variable(monkeypatch):
    monkeypatch.setenv("CNTK_LAB_NATIVE_AFTER", "soon")
    with pytest.raises(LabError, match="CNTK_LAB_NATIVE_AFTER is 'soon', not a whole number"):
        settings.get("native_after")


def test_dimensions_that_were_inferred_elsewhere_are_told_before_anything_is_computed():
    w, v = C.parameter((4, C.InferredDimension)), C.parameter((C.InferredDimension, 5))
    product = C.times(w, v)
    C.times(w, C.input_variable((4, 1)))
    C.times(C.input_variable((1, 5)), v)
    with pytest.raises(LabError, match=r"times: [\s\S]*where: times\("):
        product.eval()

"""Python functions as network functions: order and types of arguments, calls, chains, look-ups, texts, copies.

Expected texts and errors are those observed on CNTK 2.7.
"""

from __future__ import annotations

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import Function
from cntk_lab.layers.typing import ParameterTensor, Sequence, SequenceOver, Signature, SparseTensor, Tensor, tensor


@pytest.fixture
def x():
    return C.input_variable(2, name="x")


@pytest.fixture
def s():
    return C.sequence.input_variable(2, name="s")


def names(f):
    return [a.name for a in f.arguments]


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: b * a + 1,
        lambda a, b: C.times(b, a),
        lambda a, b: (b, a),
        lambda a, b: b - a,
        lambda a, b: (b + 1, a),
    ],
)
def test_arguments_keep_the_order_of_the_python_function(f):
    assert names(Function(f)) == ["a", "b"]
    assert names(Function(f).clone("share")) == ["a", "b"]


def test_arguments_in_another_order_go_through_a_tuple_block():
    f = Function(lambda a, b: b - a)
    f.update_signature(1, 1)
    assert f([[1.0]], [[5.0]]).tolist() == [[4.0]]
    assert {v.owner.op_name for v in f.root_function.inputs} == {"Tuple"}


def test_types_are_said_by_annotations_decorators_or_position():
    @Function
    def annotated(a: Tensor[2], b: Sequence[Tensor[2]]):
        return a + b

    @Function
    @Signature(Tensor[2], b=Sequence[Tensor[2]])
    def signed(a, b):
        return a + b

    positional = Function.with_signature(Tensor[2], Sequence[Tensor[2]])(lambda a, b: a + b)
    for f in (annotated, signed, positional):
        assert [str(a) for a in f.arguments] == ["Input('a', [#], [2])", "Input('b', [#, *], [2])"]


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (Tensor[2, 3], "Tensor[2,3]"),
        (Tensor[()], "float"),
        (SparseTensor[4], "SparseTensor[4]"),
        (Sequence[Tensor[2]], "Sequence[Tensor[2]]"),
        (Sequence[SparseTensor[3]], "Sequence[SparseTensor[3]]"),
        (SequenceOver[C.Axis("foo")][Tensor[2]], "SequenceOver[foo][Tensor[2]]"),
        (Sequence[float], "Sequence[float]"),
        (tensor, "tensor"),
        (Sequence[tensor], "Sequence[tensor]"),
        (ParameterTensor[3], "ParameterTensor[3]"),
    ],
)
def test_types_are_written_as_in_cntk(type_, text):
    assert str(type_) == text


def test_functions_are_written_as_in_cntk(x, s):
    W = C.parameter((2, 3), name="W")
    assert str(C.plus(x, 3)) == "Plus(x: Tensor[2]) -> Tensor[2]"
    assert str(C.times(x, W)) == "Times(x: Tensor[2]) -> Tensor[3]"
    assert str(C.times(x, W) + 1) == "Composite(x: Tensor[2]) -> Tensor[3]"
    both = "Combine(x: Tensor[2], s: Sequence[Tensor[2]]) -> Tuple[Tensor[2], Sequence[Tensor[2]]]"
    assert str(C.combine([x, s])) == both
    assert str(C.placeholder(name="q") + 1) == "Plus(q: Sequence[tensor]) -> Sequence[tensor]"
    assert str(C.plus(C.input_variable((), dtype="float64"), 1)) == "Plus(np.float64) -> np.float64"
    assert str(C.layers.Dense(4, name="h")(x)) == "h: Dense(x: Tensor[2]) -> Tensor[4]"


def test_calls_match_by_position_and_name(x, s):
    f = x + s
    assert str(f(x, s=s)) == str(f)
    for arguments, named, error, words in (
        ((x,), {}, TypeError, "expected 2 arguments, got 1"),
        ((x,), {"q": x}, TypeError, "unexpected keyword argument 'q'"),
        ((x,), {"x": x}, SyntaxError, "multiple values for argument 'x'"),
        ((s, s), {}, TypeError, r"type Tensor\[2\] is incompatible with the type Sequence\[Tensor\[2\]\]"),
        ((x, [[1, 2]]), {}, TypeError, "argument s was passed an object that is not a Variable or Function"),
    ):
        with pytest.raises(error, match=words):
            f(*arguments, **named)


def test_what_a_python_function_may_not_do_is_said(x):
    for f, words in (
        (lambda a: None, "CNTK Function '<lambda>' must return a value"),
        (lambda a, b: a + 1, r"has 1 unused arguments \(b\), which is currently not supported"),
        (lambda a: a + x, r"has 1 missing arguments \(x\), which is currently not supported"),
        (lambda a: a + C.Parameter(3), "parameters cannot be created inside a @Function def"),
        (lambda a: 3, "must return a Function or variable, not int"),
    ):
        with pytest.raises(TypeError, match=words):
            Function(f)


def test_inner_functions_may_read_arguments_of_outer_ones():
    @Function
    def outer(a, b):
        return C.layers.Recurrence(lambda h, x: h + x * a)(b)

    outer.update_signature(Tensor[1], Sequence[Tensor[1]])
    assert outer([[10.0]], [[[1.0], [2.0]]])[0].tolist() == [[10.0], [30.0]]


def test_chains_apply_side_by_side(x):
    pair = C.layers.Dense(3) >> (C.relu, C.tanh)
    assert len(pair.outputs) == 2
    assert (pair >> C.plus)(x).shape == (3,)
    assert (pair >> (C.negate, C.negate))(x).outputs[1].shape == (3,)
    with pytest.raises(TypeError, match="2 outputs on the left, a tuple of 3 functions on the right"):
        pair >> (C.relu, C.relu, C.relu)


def test_parts_are_looked_up_by_name_and_attributes_of_the_output_win(x):
    model = C.layers.Sequential([C.layers.Dense(3, init=1, name="first"), C.layers.Dense(2, init=2, name="shape")])(x)
    assert model.first.W.value.tolist() == np.ones((2, 3)).tolist()
    assert model.shape == (2,)
    with pytest.raises(AttributeError, match="'Variable' object has no attribute 'nothere'"):
        model.nothere
    with pytest.raises(AttributeError, match="it cannot be looked up in its outputs"):
        C.combine([x, x + 1]).shape


def test_update_signature_resolves_what_was_open():
    f = C.layers.Dense(2)
    assert f.W.shape == (-1, 2)
    f.update_signature(3)
    assert f.W.shape == (3, 2)
    with pytest.raises(TypeError, match=r"type Tensor\[3\] is incompatible with the type Tensor\[4\]"):
        f.update_signature(4)
    with pytest.raises(TypeError, match="expected 1 arguments, got 2"):
        f.update_signature(3, 3)


def test_copies_share_clone_or_freeze_parameters_and_constants():
    x, p, k = C.input_variable(1), C.parameter(1, init=2, name="p"), C.constant([3], name="k")
    f = x * p + k
    shared, cloned, frozen = (f.clone(m) for m in ("share", "clone", "freeze"))
    p.value, k.value = [20], [30]
    assert [g([[1]]).item() for g in (shared, cloned, frozen)] == [50, 5, 5]
    assert [len(g.parameters) for g in (shared, cloned, frozen)] == [1, 1, 0]


def test_attributes_have_the_names_of_files_and_the_order_of_python():
    image = C.input_variable((1, 5, 5))
    kernel = C.constant(np.ones((1, 2, 2), np.float32))
    found = C.convolution(kernel, image, auto_padding=[False, True]).root_function.attributes
    assert (found["autoPadding"], found["strides"], found["kernelShape"]) == (
        [False, False, True],
        (1, 1, 1),
        (1, 2, 2),
    )
    assert C.dropout(image, 0.5, 42).root_function.attributes == {"dropoutRate": 0.5, "rngSeed": 42, "rngOffset": 0}
    assert C.dropout(image, 0.5, 42).attributes == {}

"""Wrong input is answered in the user's words: what is wrong, where it was written, how to mend it. Whole messages."""

import re

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import AxisError, DataError, DTypeError, GraphError, LabError, ShapeError, SignatureError, message


def x():
    return C.input_variable(3, name="x")


def product():
    v = x()
    return v, C.times(v, C.parameter((3, 2), name="W"), name="z")


def evaluate(data):
    _, f = product()
    f.eval(data)


CASES = [
    (
        "inner dimensions",
        lambda: C.times(x(), C.parameter((4, 5), name="W")),
        ShapeError,
        "times: inner dimensions differ: the left operand has 3 columns, the right 4 rows\n"
        "  where: times(x [3], W [4 x 5]), built at FILE\n"
        "  fix:   give the right operand 3 rows, or let it be inferred: parameter((InferredDimension, 5))",
    ),
    (
        "broadcasting",
        lambda: x() + C.input_variable(2, name="y"),
        ShapeError,
        "shapes [3] and [2] do not broadcast: 3 against 2 at axis -1\n  where: plus(x [3], y [2]), built at FILE",
    ),
    (
        "element types",
        lambda: x() + C.input_variable(3, dtype=np.float64, name="d"),
        DTypeError,
        "Plus: operands have different element types: 'x' is Float, 'd' is Double\n"
        "  where: plus(x [3], d [3]), built at FILE\n"
        "  fix:   give both the same dtype, or convert one with cast(x, dtype)",
    ),
    (
        "static axis",
        lambda: C.reduce_sum(x(), axis=5),
        AxisError,
        "axis 5 does not exist in a tensor of rank 1\n"
        "  where: reduce_sum(x [3]), built at FILE\n"
        "  fix:   axes go from -1 to 0",
    ),
    (
        "two sequence axes",
        lambda: (
            C.sequence.input_variable(1, name="a") + C.sequence.input_variable(1, sequence_axis=C.Axis("q"), name="b")
        ),
        AxisError,
        "Plus: operand 'b' has dynamic axes [#, q], the other operands [#, *]: sequences of two different axes cannot be "
        "combined frame by frame\n"
        "  where: plus(a [1], b [1]), built at FILE\n"
        "  fix:   relabel one with sequence.reconcile: reconcile_dynamic_axes(x, like), or reduce/broadcast one of them",
    ),
    (
        "no sequence axis",
        lambda: C.sequence.past_value(x()),
        AxisError,
        "a delay needs an operand with a batch and a sequence axis, this one has [#]\n"
        "  where: past_value(x [3], Constant []), built at FILE\n"
        "  fix:   feed it from sequence.input_variable, or give the operand a sequence axis",
    ),
    (
        "missing operand",
        lambda: C.minus(x()),
        SignatureError,
        "minus: missing a required argument: 'right'\n"
        "  fix:   the signature is minus(left: 'Operand', right: 'Operand', name: 'str' = '') -> 'Function'",
    ),
    (
        "not an operand",
        lambda: C.minus(x(), "a"),
        SignatureError,
        "minus: operand 1 is 'a': expected a variable, a Function, a number or an array",
    ),
    (
        "unknown name",
        lambda: evaluate({"y": np.zeros((1, 3))}),
        DataError,
        'variable with name "y" does not exist in the network. Available variable names: x\n'
        "  where: data for 'z', given at FILE\n"
        "  fix:   name one of the function's arguments",
    ),
    (
        "missing data",
        lambda: (product()[1] + C.input_variable(2, name="y")).eval({}),
        DataError,
        "function expects 2 arguments\n  where: data for 'Plus_Output_0', given at FILE\n  fix:   give {variable: data} for each",
    ),
    (
        "data of a wrong shape",
        lambda: evaluate({"x": np.zeros((2, 4))}),
        DataError,
        "The trailing dimensions of the Value shape '[2 x 4]' do not match the Variable 'Input('x', [#], [3])' shape '[3]'.\n"
        "  where: data for 'z', given at FILE\n"
        "  fix:   give data whose last 1 axes are [3]",
    ),
    (
        "data of a wrong type",
        lambda: evaluate({"x": np.zeros((2, 3), np.uint8)}),
        DTypeError,
        "data of type uint8 cannot be used: only integer, bool, float32, float64 and float16 are supported\n"
        "  where: data for 'z', given at FILE\n"
        "  fix:   convert it, for example with data.astype(numpy.float32)",
    ),
    (
        "unbound placeholder",
        lambda: (C.placeholder(name="p") + 1).eval(),
        GraphError,
        "placeholder 'p' is not replaced: the graph cannot be computed\n"
        "  fix:   call replace_placeholders, or apply the function to inputs",
    ),
    (
        "value before its shape is known",
        lambda: C.parameter((-1, 3), name="W").value,
        ShapeError,
        "Parameter 'W' has no value yet: its shape [? x 3] has unknown dimensions\n"
        "  fix:   apply the layer to an input first, so that the dimensions are inferred",
    ),
    (
        "a dimension of zero",
        lambda: C.input_variable((0, 2)),
        ShapeError,
        "shape (0, 2): a dimension of 0 cannot be\n  fix:   dimensions are 1 or more; -1 is inferred",
    ),
    (
        "sizes of minibatches differ",
        lambda: (x() + C.input_variable(3, name="y")).eval({"x": np.zeros((1, 3)), "y": np.zeros((2, 3))}),
        DataError,
        "Different minibatch layouts detected (difference in sequence lengths or count or start flags) in data specified for "
        "the Function's arguments: 'y' has 2 samples, another has 1 samples\n"
        "  where: data for 'Plus_Output_0', given at FILE\n"
        "  fix:   give all arguments with the same dynamic axes the same number of samples and the same lengths",
    ),
]


@pytest.mark.parametrize(("act", "kind", "text"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_whole_message(act, kind, text):
    with pytest.raises(kind) as caught:
        act()
    said = re.sub(r"test_messages\.py:\d+", "FILE", str(caught.value))
    said = re.sub(r"\b(Constant|Plus)\d+", r"\1", said)
    assert said == text


def test_errors_are_also_the_types_that_old_programs_catch():
    assert issubclass(ShapeError, ValueError)
    assert issubclass(SignatureError, TypeError)
    assert issubclass(AxisError, (ValueError, RuntimeError))
    assert issubclass(DataError, ValueError)


def test_a_failed_build_leaves_parameters_alone():
    w = C.parameter((4, 5), init=1.0)
    before = w.value
    with pytest.raises(LabError):
        C.times(x(), w)
    np.testing.assert_array_equal(w.value, before)


def test_parts_that_are_empty_are_left_out():
    assert message("what", fix="how") == "what\n  fix:   how"

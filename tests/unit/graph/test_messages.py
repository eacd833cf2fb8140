"""Wrong input is answered in the user's words: what is wrong, where it was written, how to mend it. Whole messages."""

# long: one table of messages, each whole

# ruff: noqa: E501, ISC004 (messages stand here line by line)
import copy
import re

import numpy as np
import pytest
from scipy import sparse

import cntk_lab as C
from cntk_lab.errors import (
    AttributeValueError,
    AxisError,
    DataError,
    DTypeError,
    GraphError,
    LabError,
    ShapeError,
    SignatureError,
    message,
)
from cntk_lab.graph.function import UnsupportedAttributeError
from cntk_lab.graph.operand import PicklingError


def x(shape=3, name="x", **facts):
    return C.input_variable(shape, name=name, **facts)


def sequence(name="s"):
    return C.sequence.input_variable(3, name=name)


def hole():
    return C.placeholder(name="p")


@C.Function
def total(a, b):
    return a + b


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
        "minus: operand 1 is 'a'\n  fix:   give a variable, a Function, a number or an array",
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
        "The trailing dimensions of the Value shape '[2 x 4]' do not match the Variable 'Input('x', [#], [3])' shape '[3]': axis 1 of the data has 4 elements, static axis 0 of the variable 3.\n"
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
    (
        "channels of a kernel",
        lambda: C.convolution(C.parameter((4, 2, 3, 3), name="K"), x(shape=(3, 8, 8))),
        ShapeError,
        "convolution: the operand has 3 channels, the kernel takes 2\n"
        "  where: convolution(K [4 x 2 x 3 x 3], x [3 x 8 x 8]), built at FILE\n"
        "  fix:   give the kernel the shape [4 x 3 x 3 x 3], or let it be inferred",
    ),
    (
        "a window larger than the picture",
        lambda: C.pooling(x(shape=(1, 4, 4)), C.MAX_POOLING, (5, 5)),
        ShapeError,
        "pooling: Convolution operation requires that kernel dim 5 <= input dim 4.\n"
        "  where: pooling(x [1 x 4 x 4]), built at FILE\n"
        "  fix:   give the operand at least 5 elements on that axis, or take a smaller window; it has the static axes [4 x 4]",
    ),
    (
        "reshape to another number of elements",
        lambda: C.reshape(x(shape=6), (4, 2)),
        ShapeError,
        "reshape: operand (sub-)dimensions [6] have 6 elements, [4 x 2] has 8\n"
        "  where: reshape(x [6]), built at FILE\n"
        "  fix:   the number of elements must be the same; one dimension may be -1",
    ),
    (
        "two dimensions to infer",
        lambda: C.reshape(x(shape=6), (-1, -1)),
        ShapeError,
        "reshape: [? x ?] has more than one inferred dimension\n"
        "  where: reshape(x [6]), built at FILE\n"
        "  fix:   leave at most one dimension -1",
    ),
    (
        "splice of unequal sides",
        lambda: C.splice(x(shape=(2, 3)), x(name="y", shape=(2, 4)), axis=0),
        ShapeError,
        "splice along axis -2: shapes [1 x 3] and [1 x 4] do not broadcast: 3 against 4 at axis -1\n"
        "  where: splice(x [2 x 3], y [2 x 4]), built at FILE\n"
        "  fix:   all other dimensions must be equal or 1",
    ),
    (
        "splice along an axis that is not there",
        lambda: C.splice(x(), x(name="y"), axis=3),
        AxisError,
        "splice: axis 3 is out of bounds for the rank 1 it applies to\n"
        "  where: splice(x [3], y [3]), built at FILE\n"
        "  fix:   axes go up to 0; negative ones may be new",
    ),
    (
        "a range that is empty",
        lambda: C.slice(x(shape=5), 0, 4, 2),
        AxisError,
        "Slice operation index range [4,2), interpreted as [4,2), is invalid for an axis of 5 elements\n"
        "  where: slice(x [5]), built at FILE\n"
        "  fix:   begin is before end, and both lie on the axis; end 0 is the end of the axis",
    ),
    (
        "slice along an axis that is not there",
        lambda: C.slice(x(shape=5), 2, 0, 1),
        AxisError,
        "slice: axis 2 is out of bounds for the rank 1 it applies to\n"
        "  where: slice(x [5]), built at FILE\n"
        "  fix:   axes go from -1 to 0",
    ),
    (
        "a permutation with a repeated axis",
        lambda: C.transpose(x(shape=(2, 3)), (0, 0)),
        AxisError,
        "transpose: duplicate item in permutation (0, 0)\n"
        "  where: transpose(x [2 x 3]), built at FILE\n"
        "  fix:   name each axis once, from 0 to 1",
    ),
    (
        "an axis to swap that is not there",
        lambda: C.swapaxes(x(shape=(2, 3)), 0, 5),
        AxisError,
        "swapaxes: axis 5 is out of bounds for the rank 2 it applies to\n"
        "  where: swapaxes(x [2 x 3]), built at FILE\n"
        "  fix:   axes go from -2 to 1",
    ),
    (
        "squeeze of a longer axis",
        lambda: C.squeeze(x(shape=(2, 3)), 0),
        ShapeError,
        "squeeze: cannot squeeze a static axis whose dimension (=2) is not 1: axis 0 of [2 x 3]\n"
        "  where: squeeze(x [2 x 3]), built at FILE\n"
        "  fix:   squeeze axes of length 1, or reduce the axis",
    ),
    (
        "an output rank of 0",
        lambda: C.times(x(shape=3), C.parameter((3, 2), name="W"), output_rank=0),
        AttributeValueError,
        "times: output rank (0) must be > 0\n"
        "  where: times(x [3], W [3 x 2]), built at FILE\n"
        "  fix:   output_rank is the number of axes of the result that come from the right operand",
    ),
    (
        "a product over more axes than there are",
        lambda: C.times(x(shape=3), C.parameter((2, 3, 2), name="W")),
        ShapeError,
        "times: the right operand sums over 2 axes [2 x 3], the left [3] has 1\n"
        "  where: times(x [3], W [2 x 3 x 2]), built at FILE\n"
        "  fix:   give the right operand 2 axes or fewer, or another output_rank",
    ),
    (
        "inner dimensions of a transposed product",
        lambda: C.times_transpose(x(shape=3), C.parameter((2, 4), name="W")),
        ShapeError,
        "times_transpose: inner dimensions differ: the left operand has 3 columns, the right 4 columns\n"
        "  where: times_transpose(x [3], W [2 x 4]), built at FILE\n"
        "  fix:   give the right operand 3 columns",
    ),
    (
        "a value of another shape",
        lambda: C.parameter((2, 3), init=1.0, name="W").set_value(np.ones((3, 3))),
        ShapeError,
        "Parameter 'W' has shape [2 x 3], the new value [3 x 3]\n  fix:   give an array of the same shape",
    ),
    (
        "a parameter of nothing",
        lambda: C.parameter(),
        DataError,
        "a parameter needs a shape or a value\n  fix:   give shape=... or init=... (value=... for a constant)",
    ),
    (
        "gather from a scalar",
        lambda: C.gather(5, x()),
        ShapeError,
        "gather: the reference has no axis to take elements from\n"
        "  where: gather(Constant [], x [3]), built at FILE\n"
        "  fix:   give it at least one axis",
    ),
    (
        "a class beyond the vocabulary",
        lambda: C.Value.one_hot([3], 3),
        DataError,
        "Value::Create: one-hot index value (3) exceeds vocabulary size (3).\n  fix:   indices go from 0 to 2",
    ),
    (
        "a class that is not a whole number",
        lambda: C.Value.one_hot([1.5], 3),
        DataError,
        "one_hot: 1.5 is not a class number\n  fix:   class numbers are whole numbers",
    ),
    (
        "no classes",
        lambda: C.one_hot(x(shape=1), 0),
        AttributeValueError,
        "one_hot: num_classes is 0\n"
        "  where: one_hot(x [1]), built at FILE\n"
        "  fix:   give the number of classes, 1 or more",
    ),
    (
        "a dropout rate above 1",
        lambda: C.dropout(x(), 1.5),
        AttributeValueError,
        "dropout: the rate is 1.5\n  where: dropout(x [3]), built at FILE\n  fix:   give a rate with 0 <= rate < 1",
    ),
    (
        "softmax along an axis that is not there",
        lambda: C.softmax(x(), axis=4),
        AxisError,
        "axis 4 does not exist in a tensor of rank 1\n"
        "  where: softmax(x [3]), built at FILE\n"
        "  fix:   axes go from -1 to 0",
    ),
    (
        "more of the largest than there are",
        lambda: C.top_k(x(), 9),
        AttributeValueError,
        "top_k: k is 9, the axis has 3 elements\n  where: top_k(x [3]), built at FILE\n  fix:   k goes from 1 to 3",
    ),
    (
        "sequence.reduce_sum without a sequence",
        lambda: C.sequence.reduce_sum(x()),
        AxisError,
        "sequence.reduce_sum needs an operand with a batch and a sequence axis, this one has [#]\n"
        "  where: sequence_reduce_sum(x [3]), built at FILE\n"
        "  fix:   feed it from sequence.input_variable, or give it the axis of a sequence with sequence.broadcast_as",
    ),
    (
        "sequence.last without a sequence",
        lambda: C.sequence.last(x()),
        AxisError,
        "sequence.last needs an operand with a batch and a sequence axis, this one has [#]\n"
        "  where: sequence_last(x [3]), built at FILE\n"
        "  fix:   feed it from sequence.input_variable, or give it the axis of a sequence with sequence.broadcast_as",
    ),
    (
        "sequence.unpack without a sequence",
        lambda: C.sequence.unpack(x(), 0),
        AxisError,
        "sequence.unpack needs an operand with a batch and a sequence axis, this one has [#]\n"
        "  where: sequence_unpack(x [3]), built at FILE\n"
        "  fix:   feed it from sequence.input_variable, or give it the axis of a sequence with sequence.broadcast_as",
    ),
    (
        "replace_placeholder with two placeholders",
        lambda: (hole() + hole()).replace_placeholder(x()),
        GraphError,
        "function 'CompositeFunction' has 2 placeholders, not exactly one\n"
        "  fix:   use replace_placeholders({placeholder: variable, ...})",
    ),
    (
        "replace_placeholder with no placeholder",
        lambda: (x() + 1).replace_placeholder(x()),
        GraphError,
        "function 'CompositeFunction' has 0 placeholders, not exactly one\n"
        "  fix:   use replace_placeholders({placeholder: variable, ...})",
    ),
    (
        "substitutions that are not a dictionary",
        lambda: (x() + 1).clone("share", [x()]),
        SignatureError,
        "Variable substitution map must be a dictionary, not list\n  fix:   clone(method, {old: new, ...})",
    ),
    (
        "an unknown cloning method",
        lambda: (x() + 1).clone("copy"),
        AttributeValueError,
        "there is no cloning method 'copy'\n  fix:   use 'share', 'clone' or 'freeze'",
    ),
    (
        "too many arguments",
        lambda: total(x(), x(), x()),
        SignatureError,
        "CNTK Function expected 2 arguments, got 3\n  fix:   its arguments are: a, b",
    ),
    (
        "too few arguments",
        lambda: total(x()),
        SignatureError,
        "CNTK Function expected 2 arguments, got 1\n  fix:   its arguments are: a, b",
    ),
    (
        "variables and data in one call",
        lambda: total(x(), np.ones(3)),
        SignatureError,
        "argument b was passed an object that is not a Variable or Function\n"
        "  fix:   give variables for all arguments, or data for all; constant(data) makes a variable of data",
    ),
    (
        "the output of several",
        lambda: C.combine(x(), x(name="y")).output,
        GraphError,
        "function 'CompositeFunction' has 2 outputs\n  fix:   take one of .outputs",
    ),
    (
        "several outputs as one operand",
        lambda: C.combine(x(), x(name="y")) + 1,
        GraphError,
        "plus: operand 0 is a function with 2 outputs\n  fix:   take one of its .outputs",
    ),
    (
        "nothing combined has nothing to compute",
        lambda: C.combine([]).eval(),
        GraphError,
        "function 'CompositeFunction' has no outputs: there is nothing to compute\n"
        "  fix:   combine at least one function or variable",
    ),
    (
        "a deep copy of a variable",
        lambda: copy.deepcopy(x()),
        PicklingError,
        "a Variable can be neither pickled nor deeply copied\n"
        "  where: Input('x', [#], [3])\n"
        "  fix:   write functions with save() and read them with load(); copy them with clone()",
    ),
    (
        "an input inside a block",
        lambda: C.as_block(x() + 1, [], "b"),
        GraphError,
        "as_block 'b': argument Input('x', [#], [3]) inside is an input variable, not a placeholder\n"
        "  fix:   build the graph on placeholder() variables and map them to the variables outside",
    ),
    (
        "a placeholder of a block without a partner",
        lambda: C.as_block(hole() + 1, [], "b"),
        GraphError,
        "as_block 'b': Placeholder('p', [???], [???]) inside is not mapped\n"
        "  fix:   add it to the list of argument pairs",
    ),
    (
        "the inside of what is no block",
        lambda: (x() + 1).block_root,
        GraphError,
        "Plus is not a block function\n  fix:   ask is_block first; composite.root_function may be one",
    ),
    (
        "an element type that cannot be computed with",
        lambda: C.input_variable(2, dtype=np.int32),
        DTypeError,
        "element type int32 is not supported\n"
        "  fix:   use numpy.float32, numpy.float64 or numpy.float16 (int8 and int16 for data only)",
    ),
    (
        "an array of whole numbers as operand",
        lambda: x() + np.array([1, 2, 3]),
        DTypeError,
        "NumPy type 'int64' is not supported as an operand\n"
        "  fix:   convert the array first: value.astype(numpy.float32)",
    ),
    (
        "None as operand",
        lambda: C.plus(x(), None),
        SignatureError,
        "plus: operand 1 is None\n  fix:   give a variable, a Function, a number or an array",
    ),
    (
        "an attribute that cannot be changed",
        lambda: (x() + 1).set_attribute("x", 1),
        UnsupportedAttributeError,
        "attribute 'x' of Plus cannot be changed after the graph is built\n  fix:   only dropoutRate and rngSeed can",
    ),
    (
        "a second name",
        lambda: setattr(C.plus(x(), 1, name="a"), "name", "b"),
        GraphError,
        "function 'a' already has a name: it cannot be renamed to 'b'\n"
        "  fix:   make a second handle with alias(f, name=...)",
    ),
    (
        "a gradient without anything to differentiate by",
        lambda: (x() + 1).grad({"x": np.ones((1, 3))}),
        GraphError,
        "None of the Function 'CompositeFunction' arguments have 'needs_gradient == True'\n"
        "  fix:   make the input with needs_gradient=True, or say wrt=function.parameters",
    ),
    (
        "a gradient of several outputs",
        lambda: C.combine(x(needs_gradient=True), x(name="y")).grad({"x": np.ones((1, 3))}),
        GraphError,
        "grad: function 'CompositeFunction' has 2 outputs\n  fix:   say grad_root=",
    ),
    (
        "ragged samples",
        lambda: (x() + 1).eval({"x": [[1, 2, 3], [1, 2]]}),
        DataError,
        "data for 'x' are ragged: its samples have different shapes\n"
        "  where: data for 'Plus_Output_0', given at FILE\n"
        "  fix:   give a variable with a sequence axis, or equal shapes",
    ),
    (
        "more begin markers than sequences",
        lambda: (sequence() + 1).eval(([[[1, 2, 3]]], [True, False])),
        DataError,
        "you have 1 sequences, but only 2 sequence begin markers\n"
        "  where: data for 'Plus_Output_0', given at FILE\n"
        "  fix:   give one marker per sequence",
    ),
    (
        "dense data for a sparse variable",
        lambda: C.times(x(is_sparse=True), C.parameter((3, 2))).eval({"x": np.ones((1, 3), np.float32)}),
        DataError,
        "Dense input data supplied for sparse input Variable 'x'\n"
        "  where: data for 'Times_Output_0', given at FILE\n"
        "  fix:   give a scipy.sparse.csr_matrix, or Value.one_hot(indices, num_classes)",
    ),
    (
        "an output of another graph",
        lambda: (x() + 1).eval({"x": np.ones((1, 3))}, outputs=[x(name="y") * 2]),
        DataError,
        "output 'ElementTimes_Output_0' is not computed by the function 'CompositeFunction'\n"
        "  fix:   ask for outputs of the function itself or of what lies below it",
    ),
    (
        "outputs in a nested list",
        lambda: (x() + 1).eval({"x": np.ones((1, 3))}, outputs=[(x() + 1).outputs]),
        SignatureError,
        "outputs: a tuple stands where a variable or a Function is expected\n"
        "  fix:   give one flat list, for example [*a.outputs, *b.outputs]",
    ),
    (
        "lengths of sequences differ",
        lambda: C.plus(sequence("a"), sequence("b")).eval({"a": [np.ones((2, 3))], "b": [np.ones((3, 3))]}),
        DataError,
        "Different minibatch layouts detected (difference in sequence lengths or count or start flags) in data specified for the Function's arguments: 'b' has lengths [3], another has lengths [2]\n"
        "  where: data for 'Plus_Output_0', given at FILE\n"
        "  fix:   give all arguments with the same dynamic axes the same number of samples and the same lengths",
    ),
    (
        "a sparse matrix of another format",
        lambda: C.times(x(is_sparse=True), C.parameter((3, 2))).eval({"x": sparse.coo_matrix(np.ones((1, 3)))}),
        DataError,
        "batch must be a list of NumPy arrays or SciPy CSR matrices\n"
        "  where: data for 'x'\n"
        "  fix:   convert with .tocsr()",
    ),
    (
        "a delay of no frames",
        lambda: C.sequence.past_value(sequence(), time_step=0),
        AttributeValueError,
        "time_step is 0: it must be 1 or more\n"
        "  where: past_value(s [3], Constant []), built at FILE\n"
        "  fix:   use future_value to look ahead",
    ),
    (
        "one of several axes is not there",
        lambda: C.reduce_sum(x(shape=(2, 3)), axis=(0, 5)),
        AxisError,
        "axis 5 does not exist in a tensor of rank 2\n"
        "  where: reduce_sum(x [2 x 3]), built at FILE\n"
        "  fix:   axes go from -2 to 1",
    ),
    (
        "scores and labels of unequal size",
        lambda: C.cross_entropy_with_softmax(x(), x(name="y", shape=4)),
        ShapeError,
        "cross entropy: the output has the shape [3], the target [4]\n"
        "  where: softmax_cross_entropy(x [3], y [4]), built at FILE\n"
        "  fix:   give both the same shape: one number for each class",
    ),
    (
        "running statistics of another size",
        lambda: C.batch_normalization(
            x(),
            C.parameter(3),
            C.parameter(3),
            C.constant(0, (2,)),
            C.constant(0, 3),
            False,
            running_count=C.constant(0.0),
        ),
        ShapeError,
        "batch_normalization: running_mean [2] has 2 elements, the statistics of [3] 3\n"
        "  where: batch_normalization(x [3], Parameter [3], Parameter [3], Constant [2], Constant [3], Constant []), built at FILE\n"
        "  fix:   give one number for each channel (the first axis) if spatial=True, else one for each element",
    ),
    (
        "assignment of another shape",
        lambda: C.assign(C.parameter((2,), name="r"), C.constant([1, 2, 3])),
        ShapeError,
        "assign: the reference has the shape [2], the value [3]\n"
        "  where: assign(r [2], Constant [3]), built at FILE\n"
        "  fix:   give both the same shape",
    ),
    (
        "assignment of a minibatch",
        lambda: C.assign(x(), x(name="y")),
        GraphError,
        "assign: the value has dynamic axes, a parameter has none\n"
        "  where: assign(x [3], y [3]), built at FILE\n"
        "  fix:   reduce it over the batch axis first",
    ),
    (
        "parameters made inside a function",
        lambda: C.Function(lambda a: a * C.parameter(3))(x()),
        SignatureError,
        "parameters cannot be created inside a @Function def: '<lambda>' would get new ones at each use\n"
        "  fix:   make layers and parameters before the function, and use them inside",
    ),
    (
        "a signature of too many types",
        lambda: C.Function(lambda a: a).update_signature(C.layers.typing.Tensor[3], C.layers.typing.Tensor[3]),
        SignatureError,
        "CNTK Function expected 1 arguments, got 2\n  fix:   its arguments are: a",
    ),
]


@pytest.mark.parametrize(("act", "kind", "text"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_whole_message(act, kind, text):
    with pytest.raises(kind) as caught:
        act()
    said = re.sub(r"test_messages\.py:\d+", "FILE", str(caught.value))
    said = re.sub(r"\b(CompositeFunction|Constant|Parameter|Plus|Times|ElementTimes)\d+", r"\1", said)
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

"""The layers whose parameters and numbers were recorded with CNTK 2.7: how each is made, and what is fed.

One table for both sides: ``record.py`` builds it with CNTK (Python 3.6), ``test_every_layer.py`` with this package.
"""

import numpy as np

CASES = {}
SEED = 7


def case(name, make, *operands, **options):
    """One layer: ``make(C, C.layers)`` applied to inputs; ``gradient=False`` where it is not smooth or not defined."""
    assert name not in CASES, name
    CASES[name] = (make, operands, options.get("gradient", True))


def numbers(seed, shape):
    """Distinct numbers between -1 and 1 that both Pythons draw alike."""
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)


def inputs(C, operands):
    """Input variables for operands (kind, shape), and their data: three samples, or sequences of 3, 1 and 2 frames."""
    data = {}
    for i, (kind, shape) in enumerate(operands):
        name = "xyz"[i]
        if kind == "batch":
            v = C.input_variable(shape, needs_gradient=True, name=name)
            data[v] = numbers(i + 1, (3,) + shape)
        elif kind == "one hot":
            v = C.input_variable(shape, name=name)
            data[v] = np.eye(shape[0], dtype=np.float32)[[1, shape[0] - 1, 0]]
        else:
            axis = {} if kind == "sequence" else {"sequence_axis": C.Axis(kind)}
            v = C.sequence.input_variable(shape, needs_gradient=True, name=name, **axis)
            lengths = (3, 1, 2) if kind == "sequence" else (2, 4, 1)
            data[v] = [numbers(10 * i + j, (n,) + shape) for j, n in enumerate(lengths)]
    return data


VECTOR, IMAGE, FRAMES = ("batch", (5,)), ("batch", (3, 6, 7)), ("sequence", (5,))
STATES = ("sequence", (4,))

case("Dense", lambda C, L: L.Dense(4), VECTOR)
case("Dense with activation and bias", lambda C, L: L.Dense(4, activation=C.tanh, init_bias=0.25, name="h"), VECTOR)
case("Dense of shape", lambda C, L: L.Dense((2, 3)), VECTOR)
case("Dense on image", lambda C, L: L.Dense(4), IMAGE)
case("Dense map_rank", lambda C, L: L.Dense(4, map_rank=1), IMAGE)
case("Dense input_rank", lambda C, L: L.Dense(4, input_rank=1), IMAGE)
case("Dense he_normal", lambda C, L: L.Dense((3, 2), init=C.he_normal()), VECTOR)
case("Dense without bias", lambda C, L: L.Dense(4, bias=False), VECTOR)
case("Dense on sequence", lambda C, L: L.Dense(4), FRAMES)
case("Embedding", lambda C, L: L.Embedding(3), ("one hot", (5,)))
case("Embedding of weights", lambda C, L: L.Embedding(weights=np.arange(15, dtype=np.float32).reshape(5, 3)), VECTOR)
case("Convolution2D", lambda C, L: L.Convolution2D((3, 3), 4), IMAGE)
case("Convolution2D padded", lambda C, L: L.Convolution2D((3, 2), 4, pad=True, strides=2, activation=C.tanh), IMAGE)
case("Convolution2D he_uniform", lambda C, L: L.Convolution2D((3, 3), 4, init=C.he_uniform()), IMAGE)
case("Convolution2D without filters", lambda C, L: L.Convolution2D((3, 3), reduction_rank=0), ("batch", (6, 7)))
case("Convolution2D one filter", lambda C, L: L.Convolution2D((3, 3)), IMAGE)
case("Convolution2D reduction_rank 0", lambda C, L: L.Convolution2D((3, 3), 2, reduction_rank=0), ("batch", (6, 7)))
case("Convolution1D", lambda C, L: L.Convolution1D(3, 4), ("batch", (2, 7)))
case("Convolution3D", lambda C, L: L.Convolution3D(2, 2), ("batch", (2, 3, 4, 3)))
case("Convolution over time", lambda C, L: L.Convolution((3,), 4, sequential=True, pad=True), FRAMES)
case("Convolution over time even", lambda C, L: L.Convolution((2,), 4, sequential=True, pad=True), FRAMES)
case("Convolution over time and space", lambda C, L: L.Convolution((3, 3), 2, sequential=True, pad=True), ("sequence", (2, 5)))
case("SequentialConvolution", lambda C, L: L.SequentialConvolution((2,), 4, pad=True), FRAMES)
NUMBERS, ROWS = ("sequence", ()), ("sequence", (4,))
case("SequentialConvolution of numbers", lambda C, L: L.SequentialConvolution((2,), 2, reduction_rank=0, pad=True), NUMBERS)
case("SequentialConvolution of numbers unpadded", lambda C, L: L.SequentialConvolution((1,), 2, reduction_rank=0), NUMBERS)
case("SequentialConvolution without filters", lambda C, L: L.SequentialConvolution((2,), reduction_rank=0, pad=True), NUMBERS)
case("SequentialConvolution without channels", lambda C, L: L.SequentialConvolution((2, 3), 2, reduction_rank=0, pad=True, strides=(2, 1)), ROWS)
case("SequentialConvolution strides", lambda C, L: L.SequentialConvolution((2, 2), 3, pad=True, strides=2), ("sequence", (2, 5)))
case("ConvolutionTranspose2D", lambda C, L: L.ConvolutionTranspose2D((3, 3), 4), IMAGE)
case("ConvolutionTranspose2D padded", lambda C, L: L.ConvolutionTranspose2D((3, 3), 2, pad=True, strides=2), IMAGE)
case("ConvolutionTranspose2D he_normal", lambda C, L: L.ConvolutionTranspose2D((3, 3), 2, init=C.he_normal()), IMAGE)
case("ConvolutionTranspose2D output_shape", lambda C, L: L.ConvolutionTranspose2D((3, 3), 2, pad=True, strides=2, output_shape=(12, 14)), IMAGE)
case("ConvolutionTranspose1D", lambda C, L: L.ConvolutionTranspose1D(3, 4), ("batch", (2, 5)))
case("ConvolutionTranspose reduction_rank 0", lambda C, L: L.ConvolutionTranspose((3,), 4, reduction_rank=0), VECTOR)
case("MaxPooling", lambda C, L: L.MaxPooling((2, 2), 2), IMAGE)
case("MaxPooling padded", lambda C, L: L.MaxPooling((3, 3), (2, 1), pad=True), IMAGE)
case("AveragePooling", lambda C, L: L.AveragePooling((3, 3), 2, pad=True), IMAGE)
case("GlobalMaxPooling", lambda C, L: L.GlobalMaxPooling(), IMAGE)
case("GlobalAveragePooling", lambda C, L: L.GlobalAveragePooling(name="g"), IMAGE)
case("BatchNormalization", lambda C, L: L.BatchNormalization(), VECTOR, gradient=False)
case("BatchNormalization map_rank", lambda C, L: L.BatchNormalization(map_rank=1, init_scale=0.5, epsilon=0.1), IMAGE, gradient=False)
case("LayerNormalization", lambda C, L: L.LayerNormalization(), IMAGE)
case("LayerNormalization settings", lambda C, L: L.LayerNormalization(initial_scale=2, initial_bias=3, epsilon=0.1), VECTOR)
case("Stabilizer", lambda C, L: L.Stabilizer(), VECTOR)
case("Stabilizer steepness", lambda C, L: L.Stabilizer(steepness=2, name="s"), VECTOR)
case("Dropout", lambda C, L: L.Dropout(0.3), VECTOR, gradient=False)
case("Activation", lambda C, L: L.Activation(C.tanh), VECTOR)
case("Label", lambda C, L: L.Label("here"), VECTOR, gradient=False)
case("RNNStep", lambda C, L: L.Recurrence(L.RNNStep(4)), FRAMES)
case("RNNStep projected", lambda C, L: L.Recurrence(L.RNNStep(3, cell_shape=4, activation=C.tanh, enable_self_stabilization=True)), FRAMES)
case("GRU", lambda C, L: L.Recurrence(L.GRU(4)), FRAMES)
case("GRU projected", lambda C, L: L.Recurrence(L.GRU(3, cell_shape=3, enable_self_stabilization=True)), FRAMES)
case("LSTM", lambda C, L: L.Recurrence(L.LSTM(4)), FRAMES)
case("LSTM backwards", lambda C, L: L.Recurrence(L.LSTM(4, init_bias=0.5), go_backwards=True, initial_state=0.1, name="r"), FRAMES)
case("LSTM peepholes", lambda C, L: L.Recurrence(L.LSTM(4, use_peepholes=True, enable_self_stabilization=True)), FRAMES)
case("LSTM projected", lambda C, L: L.Recurrence(L.LSTM(3, cell_shape=4, activation=C.relu)), FRAMES)
case("LSTM full state", lambda C, L: L.Recurrence(L.LSTM(4), return_full_state=True), FRAMES)
case("LSTM initial states", lambda C, L: L.Recurrence(L.LSTM(4), initial_state=(0.1, 0.2)), FRAMES)
case("Recurrence of a function", lambda C, L: L.Recurrence(lambda h, x: 0.5 * h + x), FRAMES)
case("RecurrenceFrom", lambda C, L: L.RecurrenceFrom(L.GRU(4)), ("batch", (4,)), ("sequence", (5,)), gradient=False)
case("Fold", lambda C, L: L.Fold(L.LSTM(4)), FRAMES)
case("Fold backwards", lambda C, L: L.Fold(L.GRU(4), go_backwards=True), FRAMES)
case("Fold full state", lambda C, L: L.Fold(L.LSTM(4), return_full_state=True), FRAMES)
case("Fold of plus", lambda C, L: L.Fold(C.plus), FRAMES)
case("Delay", lambda C, L: L.Delay(), FRAMES)
case("Delay ahead", lambda C, L: L.Delay(-2, initial_state=0.5), FRAMES)
case("PastValueWindow", lambda C, L: L.PastValueWindow(2, -2), FRAMES)
case("PastValueWindow backwards", lambda C, L: L.PastValueWindow(3, -2, go_backwards=True), FRAMES)
case("UnfoldFrom", lambda C, L: L.UnfoldFrom(L.Dense(4, activation=C.tanh)), ("batch", (4,)), ("sequence", (5,)), gradient=False)
case("UnfoldFrom longer", lambda C, L: L.UnfoldFrom(L.Dense(4), length_increase=1.5), ("batch", (4,)), ("sequence", (5,)), gradient=False)
case("AttentionModel", lambda C, L: L.AttentionModel(6, name="a"), FRAMES, ("decoder", (4,)))
case("AttentionModel with span", lambda C, L: L.AttentionModel(6, 2, -3), FRAMES, ("decoder", (4,)))
case("Sequential", lambda C, L: L.Sequential([L.Dense(3, name="d1"), C.tanh, (L.Dense(2), L.Dense(2)), C.splice, [L.Dense(2)]], name="m"), VECTOR)
case("For", lambda C, L: L.For(range(3), lambda i: L.Dense(i + 2, activation=C.sigmoid)), VECTOR)
case("ResNetBlock", lambda C, L: L.ResNetBlock(L.Dense(5), name="r"), VECTOR)
case("SequentialClique", lambda C, L: L.SequentialClique([L.Dense(5), L.Dense(5), L.Dense(5)], name="c"), VECTOR)
case("bidirectional", lambda C, L: L.Sequential([(L.Recurrence(L.LSTM(3)), L.Recurrence(L.LSTM(3), go_backwards=True)), C.splice, L.Dense(2)]), FRAMES)


def _with_options(C, L):
    with C.default_options(init=C.normal(0.3), activation=C.sigmoid, enable_self_stabilization=True):
        with C.default_options_for(L.Dense, bias=False):
            return L.Sequential([L.Dense(3), L.Recurrence(L.GRU(3)), L.Dense(2, activation=C.tanh)])


case("default_options", _with_options, FRAMES)


case("MaxUnpooling", lambda C, L: lambda x: L.MaxUnpooling((2, 2), 2)(L.MaxPooling((2, 2), 2)(x), x), ("batch", (2, 4, 6)), gradient=False)

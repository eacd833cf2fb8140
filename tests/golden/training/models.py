"""Layer compositions, learners and schedules drawn by a seeded generator, and five steps of training with them.

``draw(number)`` gives a specification of plain lists, texts and numbers: the learner and the forms of its schedules go
through all combinations by the number, the layers are drawn. ``outcome(C, specification, dtype)`` builds and trains with
whatever package is given as ``C``; initial values are the package's own. Written for Python 3.6 too, because
``record.py`` runs there.
"""

import random

import numpy as np

ROWS = (4, 3, 5, 4, 2)
"""Samples (or sequences) in each of the five minibatches."""
LEARNERS = (
    "sgd", "momentum_sgd", "nesterov", "adagrad", "adadelta", "fsadagrad", "adam", "adamax", "rmsprop",
    "adagrad_plain", "rmsprop_plain", "momentum_without_gain", "adam_without_gain",
)  # fmt: skip
RATES = (
    "number", "minibatch", "list", "pairs", "per_sample", "per_sample_list", "old_sample", "old_minibatch",
    "old_minibatch_list", "learner_minibatch", "mean_gradient",
)  # fmt: skip
MOMENTA = ("number", "schedule", "list", "per_sample", "time_constant", "time_constant_list")
EXTRAS = ("none", "none", "none", "l1", "l2", "clip", "clip_norm")
ACTIVATIONS = ("tanh", "sigmoid", "softplus", "relu", "none", "elu", "softsign")


# ---------------------------------------------------------------- drawing


def draw(number):
    """The specification of that number."""
    r = random.Random(7919 * number + 1)
    kind = ("vector", "vector", "sequence", "sequence", "image")[number % 5]
    learner = {
        "name": LEARNERS[number % len(LEARNERS)],
        "rate": RATES[number % len(RATES)],
        "momentum": MOMENTA[(number // len(LEARNERS)) % len(MOMENTA)],
        "extra": EXTRAS[r.randrange(len(EXTRAS))],
    }
    layers, shape = [], {"vector": [5], "sequence": [3], "image": [2, 6, 5]}[kind]
    state = kind
    for _ in range(r.randint(1, 3)):
        state = _add(r, layers, state)
    if state == "image" and r.random() < 0.5:
        layers.append(["GlobalAveragePooling"])
    if state == "sequence" and r.random() < 0.6:
        layers.append([r.choice(("last", "first", "FoldSum"))])
        state = "vector"
    loss = r.choice(("cross_entropy_with_softmax", "squared_error", "binary_cross_entropy"))
    layers.append(["Dense", 3, "sigmoid" if loss == "binary_cross_entropy" else "none", True])
    return {
        "number": number, "kind": kind, "shape": shape, "layers": layers, "loss": loss, "learner": learner,
        "labels": "sequence" if state == "sequence" else "vector",
    }  # fmt: skip


def _add(r, layers, state):
    activation, bias = r.choice(ACTIVATIONS), r.random() < 0.7
    width = r.randint(2, 5)
    if state == "image":
        what = r.choice(("Convolution2D", "Convolution2D", "MaxPooling", "AveragePooling", "BatchNormalization",
                         "ConvolutionTranspose2D", "ResNetBlock", "flatten"))  # fmt: skip
        if what == "Convolution2D":
            layers.append([what, width, r.choice((1, 2, 3)), r.random() < 0.5, r.choice((1, 2)), activation, bias])
        elif what == "ConvolutionTranspose2D":
            layers.append([what, width, r.choice((2, 3)), r.random() < 0.5, activation, bias])
        elif what in ("MaxPooling", "AveragePooling"):
            layers.append([what, 2, r.choice((1, 2)), True])
        elif what == "BatchNormalization":
            layers.append([what, 1])
        elif what == "ResNetBlock":
            layers.append([what, 2])
        else:
            layers.append(["Dense", width, activation, bias])
            return "vector"
        return "image"
    if state == "sequence":
        cell = r.choice(("LSTM", "GRU", "RNNStep", "LSTM", "other", "other"))
        if cell != "other":
            layers.append(["Recurrence", cell, width, r.random() < 0.4, r.random() < 0.3, r.random() < 0.2])
            return "sequence"
        what = r.choice(("Delay", "PastValueWindow", "SequentialConvolution", "BiRecurrence", "Dense", "Fold"))
        if what == "Delay":
            layers.append([what, r.choice((-1, 1, 2))])
        elif what == "SequentialConvolution":
            layers.append([what, width, r.choice((2, 3)), activation])
        elif what == "PastValueWindow":
            layers.append([what, 2])
        elif what == "Dense":
            layers.append([what, width, activation, bias])
        elif what == "BiRecurrence":
            layers.append([what, width])
        else:
            layers.append([what, "GRU", width])
            return "vector"
        return "sequence"
    what = r.choice(("Dense", "Dense", "Embedding", "LayerNormalization", "BatchNormalization", "Stabilizer", "For",
                     "SequentialClique", "ResNetBlock", "Sequential"))  # fmt: skip
    if what == "Dense":
        layers.append([what, width, activation, bias])
    elif what == "Embedding":
        layers.append([what, width])
    elif what in ("For", "SequentialClique", "Sequential"):
        layers.append([what, width, activation])
    elif what == "ResNetBlock":
        layers.append([what, 0])
    else:
        layers.append([what])
    return "vector"


# ---------------------------------------------------------------- building


def _activation(C, name):
    return None if name == "none" else getattr(C, name)


def _layer(C, entry):
    what, given, L = entry[0], entry[1:], C.layers
    if what == "Dense":
        return L.Dense(given[0], activation=_activation(C, given[1]), bias=given[2])
    if what == "Embedding":
        return L.Embedding(given[0])
    if what == "Convolution2D":
        width, side, pad, strides, activation, bias = given
        return L.Convolution2D((side, side), width, activation=_activation(C, activation), pad=pad, strides=strides, bias=bias)
    if what == "ConvolutionTranspose2D":
        width, side, pad, activation, bias = given
        return L.ConvolutionTranspose2D((side, side), width, activation=_activation(C, activation), pad=pad, bias=bias)
    if what in ("MaxPooling", "AveragePooling"):
        return getattr(L, what)((given[0], given[0]), strides=given[1], pad=given[2])
    if what == "BatchNormalization":
        return L.BatchNormalization(map_rank=given[0]) if given else L.BatchNormalization()
    if what in ("LayerNormalization", "Stabilizer", "GlobalAveragePooling"):
        return getattr(L, what)()
    if what == "ResNetBlock":
        return _residual(C) if given[0] else L.ResNetBlock(L.LayerNormalization())
    if what == "For":
        return L.For(range(2), lambda i: L.Dense(given[0] + i, activation=_activation(C, given[1])))
    if what == "Sequential":
        return L.Sequential([L.Dense(given[0], activation=_activation(C, given[1])), L.Stabilizer()])
    if what == "SequentialClique":
        return _clique(C)
    return _sequence_layer(C, what, given)


def _residual(C):
    """A residual block whose inside keeps the shape: as many filters as the operand has planes."""

    def apply(x):
        planes = x.shape[0]
        return C.layers.ResNetBlock(C.layers.Convolution2D((3, 3), planes, pad=True, activation=C.tanh))(x)

    return apply


def _clique(C):
    """Two layers, the second of which sees the sum of what came before."""

    def apply(x):
        inside = C.layers.Dense(x.shape, activation=C.tanh)
        return C.layers.SequentialClique([inside, C.layers.Dense(x.shape, activation=C.sigmoid)])(x)

    return apply


def _sequence_layer(C, what, given):
    L = C.layers
    if what == "Recurrence":
        cell, width, backwards, stabilized, peepholes = given
        options = {"enable_self_stabilization": stabilized}
        if cell == "LSTM":
            options["use_peepholes"] = peepholes
        return L.Recurrence(getattr(L, cell)(width, **options), go_backwards=backwards)
    if what == "BiRecurrence":
        width = given[0]
        return lambda x: C.splice(L.Recurrence(L.GRU(width))(x), L.Recurrence(L.RNNStep(width), go_backwards=True)(x))
    if what == "Fold":
        return L.Fold(getattr(L, given[0])(given[1]))
    if what == "FoldSum":
        return L.Fold(C.plus)
    if what == "Delay":
        return L.Delay(given[0])
    if what == "PastValueWindow":

        def window(x):
            values, valid = L.PastValueWindow(given[0], axis=-2)(x).outputs
            return C.sequence.broadcast_as(C.reshape(C.reduce_sum(values * valid, axis=0), x.shape), x)

        return window
    if what == "SequentialConvolution":
        width, span, activation = given
        return L.SequentialConvolution(span, width, pad=True, activation=_activation(C, activation))
    return {"last": C.sequence.last, "first": C.sequence.first}[what]


def _rate(C, form, learner):
    value = {"adadelta": 0.5, "adagrad": 0.02, "adagrad_plain": 0.02, "rmsprop": 0.02, "rmsprop_plain": 0.02}.get(
        learner, 0.05
    )
    schedule = C.learning_parameter_schedule
    if form == "number" or form in ("learner_minibatch", "mean_gradient"):
        return schedule(value)
    if form == "minibatch":
        return schedule(value, minibatch_size=3)
    if form == "list":
        return schedule([value, value / 2, value / 4], minibatch_size=2, epoch_size=5)
    if form == "pairs":
        return schedule([(2, value), (1, value / 3)], minibatch_size=4, epoch_size=3)
    if form == "per_sample":
        return C.learning_parameter_schedule_per_sample(value / 4)
    if form == "per_sample_list":
        return C.learning_parameter_schedule_per_sample([value / 4, value / 8], epoch_size=7)
    unit = C.UnitType.sample if form == "old_sample" else C.UnitType.minibatch
    given = [value, value / 2] if form == "old_minibatch_list" else value / 4 if form == "old_sample" else value
    return C.learning_rate_schedule(given, unit, 6) if isinstance(given, list) else C.learning_rate_schedule(given, unit)


def _momentum(C, form):
    if form == "number":
        return 0.9
    if form == "schedule":
        return C.momentum_schedule(0.8, minibatch_size=4)
    if form == "list":
        return C.momentum_schedule([0.9, 0.5], epoch_size=6)
    if form == "per_sample":
        return C.momentum_schedule_per_sample(0.95)
    if form == "time_constant":
        return C.momentum_as_time_constant_schedule(20)
    return C.momentum_as_time_constant_schedule([10, 30], epoch_size=6)


def learner_of(C, spec, parameters):
    """The learner that a specification names."""
    name, form = spec["name"], spec["rate"]
    rate, momentum, options = _rate(C, form, name), _momentum(C, spec["momentum"]), {}
    options.update({
        "none": {}, "l1": {"l1_regularization_weight": 0.01}, "l2": {"l2_regularization_weight": 0.02},
        "clip": {"gradient_clipping_threshold_per_sample": 0.05},
        "clip_norm": {"gradient_clipping_threshold_per_sample": 0.05, "gradient_clipping_with_truncation": False},
    }[spec["extra"]])  # fmt: skip
    if form == "learner_minibatch":
        options["minibatch_size"] = 2
    if form == "mean_gradient":
        options["use_mean_gradient"] = True
    if name == "sgd":
        return C.sgd(parameters, rate, **options)
    if name in ("momentum_sgd", "nesterov"):
        return getattr(C, name)(parameters, rate, momentum, **options)
    if name == "momentum_without_gain":
        return C.momentum_sgd(parameters, rate, momentum, unit_gain=False, **options)
    if name.startswith("adagrad"):
        return C.adagrad(parameters, rate, need_ave_multiplier=name == "adagrad", **options)
    if name == "adadelta":
        return C.adadelta(parameters, rate, rho=0.9, epsilon=1e-4, **options)
    if name == "fsadagrad":
        return C.fsadagrad(parameters, rate, momentum, variance_momentum=C.momentum_schedule(0.99), **options)
    if name.startswith("adam"):
        options.update(adamax=name == "adamax", unit_gain=name != "adam_without_gain", epsilon=1e-3)
        return C.adam(parameters, rate, momentum, variance_momentum=C.momentum_schedule(0.99), **options)
    return C.rmsprop(parameters, rate, 0.9, 1.2, 0.8, 5.0, 0.1, need_ave_multiplier=name == "rmsprop", **options)


# ---------------------------------------------------------------- training


def _data(rng, shape, lengths, sequence, dtype):
    if not sequence:
        return rng.uniform(-1, 1, (len(lengths),) + tuple(shape)).astype(dtype)
    return [rng.uniform(-1, 1, (n,) + tuple(shape)).astype(dtype) for n in lengths]


def _labels(rng, lengths, sequence, dtype):
    def one(n):
        return np.eye(3, dtype=dtype)[rng.randint(0, 3, n)]

    return [one(n) for n in lengths] if sequence else one(len(lengths))


def outcome(C, spec, dtype, nudge=0.0):
    """Losses of five steps (5), and all parameters after them, one behind the other; data are scaled by 1 + nudge."""
    C.cntk_py.reset_random_seed(0)
    sequence, labels = spec["kind"] == "sequence", spec["labels"] == "sequence"
    make = C.sequence.input_variable if sequence else C.input_variable
    x = make(tuple(spec["shape"]), dtype=dtype, name="x")
    with C.default_options(dtype=dtype):
        z = x
        for entry in spec["layers"]:
            z = _layer(C, entry)(z)
    y = (C.sequence.input_variable if labels else C.input_variable)(3, dtype=dtype, name="y")
    loss = getattr(C, spec["loss"])(z, y)
    trainer = C.Trainer(z, (loss, C.classification_error(z, y)), [learner_of(C, spec["learner"], z.parameters)])
    rng, losses = np.random.RandomState(spec["number"]), []
    for count in ROWS:
        lengths = rng.randint(1, 5, count)
        features = _data(rng, spec["shape"], lengths, sequence, dtype)
        if nudge:
            features = [f * dtype(1 + nudge) for f in features] if sequence else features * dtype(1 + nudge)
        trainer.train_minibatch({x: features, y: _labels(rng, lengths, labels, dtype)})
        losses.append(trainer.previous_minibatch_loss_average)
    return np.array(losses), np.concatenate([np.ravel(p.value) for p in z.parameters])

"""The models in CNTK's own words. CNTK 2.7 and CNTK Lab run this file alike: that is the point of CNTK Lab.

``C`` is the module ``cntk`` or ``cntk_lab``. Runs on Python 3.6. Knows no times.
"""

import numpy as np

_RATE = 0.001


def build(C, w, batches):
    """A function without arguments that does one training step (or one evaluation) on the next minibatch."""
    return _BUILDERS[w.kind](C, w, batches)


def _weight(C, *shape):
    fan = shape[0] if len(shape) < 3 else int(np.prod(shape[1:]))
    values = np.random.RandomState(len(shape) + sum(shape)).randn(*shape) / np.sqrt(fan)
    return C.parameter(shape, init=values.astype(np.float32))


def _zeros(C, *shape):
    return C.parameter(shape, init=np.zeros(shape, np.float32))


def _dense(C, x, columns, act):
    rows = x.shape[0] if len(x.shape) == 1 else int(np.prod(x.shape))
    flat = x if len(x.shape) == 1 else C.reshape(x, (rows,))
    z = C.times(flat, _weight(C, rows, columns)) + _zeros(C, columns)
    return {"relu": C.relu, "sigmoid": C.sigmoid, "": lambda v: v}[act](z)


def _evaluator(model, fed, batches):
    """Evaluations, each from NumPy arrays to NumPy arrays."""
    turn = [0]

    def step():
        turn[0] = (turn[0] + 1) % len(batches)
        return model.eval(fed(batches[turn[0]]))

    return step


def _stepper(C, model, loss, w, feeds):
    if w.inference:
        x = model.arguments[0]
        return _evaluator(model, lambda feed: {x: feed[x]}, feeds)
    from_learners = C.learners
    rate = (
        from_learners.learning_parameter_schedule_per_sample(_RATE / 64)
        if hasattr(from_learners, "learning_parameter_schedule_per_sample")
        else C.learning_rate_schedule(_RATE / 64, C.UnitType.sample)
    )
    if w.sizes.get("momentum"):
        learner = from_learners.momentum_sgd(
            model.parameters, rate, from_learners.momentum_schedule(w.momentum), unit_gain=False
        )
    else:
        learner = from_learners.sgd(model.parameters, rate)
    trainer = C.train.Trainer(None, (loss, None), [learner])
    turn = [0]

    def step():
        turn[0] = (turn[0] + 1) % len(feeds)
        trainer.train_minibatch(feeds[turn[0]])

    return step


def _mlp(C, w, batches):
    x, y = C.input_variable(w.widths[0]), C.input_variable(w.widths[-1])
    h = x
    for n in w.widths[1:-1]:
        h = _dense(C, h, n, w.act)
    z = _dense(C, h, w.widths[-1], "")
    return _stepper(C, z, C.cross_entropy_with_softmax(z, y), w, [{x: b[0], y: b[1]} for b in batches])


def _conv(C, x, maps, size, stride, pad=True):
    kernel = _weight(C, maps, x.shape[0], size, size)
    return C.convolution(kernel, x, strides=(stride, stride), auto_padding=[False, pad, pad])


def _convnet(C, w, batches):
    x, y = C.input_variable(w.image), C.input_variable(10)
    h = x
    for i, layer in enumerate(w.layers):
        if layer[0] == "conv":
            h = C.relu(_conv(C, h, *layer[1:]) + _zeros(C, layer[1], 1, 1))
        elif layer[0] == "pool":
            h = C.pooling(h, C.MAX_POOLING, (layer[1], layer[1]), (layer[2], layer[2]))
        else:
            h = _dense(C, h, layer[1], "" if i + 1 == len(w.layers) else "relu")
    return _stepper(C, h, C.cross_entropy_with_softmax(h, y), w, [{x: b[0], y: b[1]} for b in batches])


def _normal(C, x):
    n = x.shape[0]
    statistics = [C.constant(np.zeros(n, np.float32)), C.constant(np.ones(n, np.float32))]
    return C.batch_normalization(
        x,
        C.parameter((n,), init=np.ones(n, np.float32)),
        _zeros(C, n),
        statistics[0],
        statistics[1],
        spatial=True,
        running_count=C.constant(0.0),
    )


def _resnet(C, w, batches):
    x, y = C.input_variable(w.image), C.input_variable(10)
    h = C.relu(_normal(C, _conv(C, x, w.widths[0], 3, 1)))
    for level, maps in enumerate(w.widths):
        for block in range(w.blocks):
            stride = 2 if level and not block else 1
            inner = C.relu(_normal(C, _conv(C, h, maps, 3, stride)))
            inner = _normal(C, _conv(C, inner, maps, 3, 1))
            skip = h if stride == 1 else _normal(C, _conv(C, h, maps, 1, 2))
            h = C.relu(inner + skip)
    h = C.pooling(h, C.AVG_POOLING, (8, 8), (8, 8))
    z = _dense(C, h, 10, "")
    return _stepper(C, z, C.cross_entropy_with_softmax(z, y), w, [{x: b[0], y: b[1]} for b in batches])


def _lstm(C, x, inputs, n):
    """The cell of CNTK's layers: one product for the four gates."""
    wx, wh, b = _weight(C, inputs, 4 * n), _weight(C, n, 4 * n), _zeros(C, 4 * n)
    h, c = C.placeholder(), C.placeholder()
    past_h, past_c = C.sequence.past_value(h), C.sequence.past_value(c)
    z = b + C.times(x, wx) + C.times(past_h, wh)
    i, g, f, o = [C.slice(z, 0, k * n, (k + 1) * n) for k in range(4)]
    cell = C.sigmoid(f) * past_c + C.sigmoid(i) * C.tanh(g)
    out = C.sigmoid(o) * C.tanh(cell)
    out.replace_placeholders({h: out.output, c: cell.output})
    return out


def _classifier(C, w, batches):
    x, y = C.sequence.input_variable(w.inputs), C.input_variable(w.classes)
    z = _dense(C, C.sequence.last(_lstm(C, x, w.inputs, w.hidden)), w.classes, "")
    return _stepper(C, z, C.cross_entropy_with_softmax(z, y), w, [{x: b[0], y: b[1]} for b in batches])


def _tagger(C, w, batches):
    x, y = C.sequence.input_variable(w.vocabulary, is_sparse=True), C.sequence.input_variable(w.classes, is_sparse=True)
    embedded = C.times(x, _weight(C, w.vocabulary, w.embedding))
    h = _lstm(C, embedded, w.embedding, w.hidden)
    z = C.times(h, _weight(C, w.hidden, w.classes)) + _zeros(C, w.classes)
    if w.inference:
        return _evaluator(z, lambda b: {x: C.Value.one_hot([s.tolist() for s in b[0]], w.vocabulary)}, batches)
    loss = C.cross_entropy_with_softmax(z, y)
    feeds = [
        {
            x: C.Value.one_hot([s.tolist() for s in b[0]], w.vocabulary),
            y: C.Value.one_hot([s.tolist() for s in b[1]], w.classes),
        }
        for b in batches
    ]
    return _stepper(C, z, loss, w, feeds)


def _rows_normal(C, x, d):
    mean = C.reduce_mean(x, axis=-1)
    apart = x - mean
    deviation = C.sqrt(C.reduce_mean(apart * apart, axis=-1) + 1e-5)
    return apart / deviation * C.parameter((d,), init=np.ones(d, np.float32)) + _zeros(C, d)


def _transformer(C, w, batches):
    x, y = C.input_variable((w.length, w.d)), C.input_variable(w.classes)
    h = x
    for _ in range(w.layers):
        q, k, v = [C.times(h, _weight(C, w.d, w.d)) + _zeros(C, w.d) for _ in range(3)]
        size = w.d // w.heads
        parts = []
        for a in range(w.heads):
            qa, ka, va = [C.slice(m, 1, a * size, (a + 1) * size) for m in (q, k, v)]
            weights = C.softmax(C.times(qa, C.swapaxes(ka)) * (1.0 / np.sqrt(size)), axis=-1)
            parts.append(C.times(weights, va))
        heads = C.splice(*parts, axis=1)
        h = _rows_normal(C, h + C.times(heads, _weight(C, w.d, w.d)) + _zeros(C, w.d), w.d)
        inner = C.relu(C.times(h, _weight(C, w.d, w.ff)) + _zeros(C, w.ff))
        h = _rows_normal(C, h + C.times(inner, _weight(C, w.ff, w.d)) + _zeros(C, w.d), w.d)
    z = _dense(C, C.reshape(C.reduce_mean(h, axis=0), (w.d,)), w.classes, "")
    return _stepper(C, z, C.cross_entropy_with_softmax(z, y), w, [{x: b[0], y: b[1]} for b in batches])


def _chain(C, w, batches):
    x = C.input_variable(w.elements, needs_gradient=True)
    f = C.reduce_sum(C.tanh(x * 2 + 1) * C.sigmoid(x) + C.exp(-C.square(x)))
    turn = [0]

    def step():
        turn[0] = (turn[0] + 1) % len(batches)
        f.grad({x: batches[turn[0]][0][None]}, wrt=[x], outputs=[f.output])

    return step


_BUILDERS = {
    "dense": _mlp,
    "convnet": _convnet,
    "resnet": _resnet,
    "classifier": _classifier,
    "tagger": _tagger,
    "transformer": _transformer,
    "chain": _chain,
}

"""A repeated question is answered the short way, with the same values, errors and memory as the general way."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.device import DeviceDescriptor, DeviceKind
from cntk_lab.engine.ask import executor, plans
from cntk_lab.errors import LabError
from cntk_lab.events import BUS, StepTimed
from cntk_lab.graph import ports

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
_rng = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def native_at_once():
    with settings.option(native_after=0, background_compilation=False):
        yield


def model(**given):
    x = C.input_variable(6, needs_gradient=True, name="x", **given)
    w = C.parameter(init=_rng.normal(size=(6, 4)).astype(np.float32), name="w")
    return x, w, C.tanh(C.times(x, w) + 0.5)


def rows(count=3, width=6):
    return _rng.normal(size=(count, width)).astype(np.float32)


@pytest.fixture
def taken(monkeypatch):
    """The number of answers that came the short way."""
    count = [0]
    run = executor.Asked.again

    def counted(self, *given, **named):
        found = run(self, *given, **named)
        count[0] += found is not None
        return found

    monkeypatch.setattr(executor.Asked, "again", counted)
    return count


def reference(f, *given, **named):
    with settings.option(native=False):
        return f(*given, **named)


def test_a_repeated_eval_takes_the_short_way_and_gives_the_numbers_of_its_data(taken):
    x, _, f = model()
    first, second = rows(), rows()
    f.eval({x: first})
    assert taken == [0]
    for data in (first, second):
        got = [f.eval({x: data}), f.eval(data), f.eval({x: data}, f.outputs), f.eval({x: data}, device=C.cpu())]
        want = np.tanh(data @ f.parameters[0].value + 0.5)
        for g in got:
            np.testing.assert_allclose(g, want, rtol=1e-5, atol=1e-6)
    assert taken == [7]  # what is asked with a list of outputs is another question, asked for the first time


def test_a_call_with_data_takes_the_short_way(taken):
    _, _, f = model()
    data = rows()
    first = f(data)
    np.testing.assert_array_equal(f(data), first)
    assert taken == [1]


def test_results_are_the_users_own_memory():
    x, _, f = model()
    first, second = rows(), rows()
    f.eval({x: first})
    kept = f.eval({x: first})
    before = kept.copy()
    after = f.eval({x: second})
    np.testing.assert_array_equal(kept, before)
    assert not np.shares_memory(kept, after)
    kept[...] = 0
    np.testing.assert_array_equal(f.eval({x: second}), after)


def test_large_results_and_gradients_are_the_users_own_memory():
    x = C.input_variable(20_000, needs_gradient=True)
    f = C.reduce_sum(C.tanh(x * 2))
    first, second = rows(1, 20_000), rows(1, 20_000)
    ask = lambda data: f.grad({x: data}, wrt=[x], outputs=[f.output])  # noqa: E731
    ask(first)
    (g1, v1), (g2, v2) = ask(first), ask(second)
    assert not np.shares_memory(g1, g2)
    for data, g, v in ((first, g1, v1), (second, g2, v2)):
        np.testing.assert_allclose(g, 2 * (1 - np.tanh(2 * data) ** 2), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(v, np.tanh(2 * data).sum(), rtol=1e-3)


@pytest.mark.parametrize("outputs", [None, "one", "both"])
@pytest.mark.parametrize("wrt", [["x"], ["w", "x"], "w"])
def test_a_repeated_grad_gives_what_was_asked_for(taken, wrt, outputs):
    x, w, h = model()
    f = C.reduce_sum(C.square(h))
    named = {"x": x, "w": w}
    wrt = named[wrt] if isinstance(wrt, str) else [named[n] for n in wrt]
    outputs = {None: None, "one": [f.output], "both": [h, f]}[outputs]
    ask = lambda data: f.grad({x: data}, wrt, outputs)  # noqa: E731
    data = rows()
    ask(rows())
    got = ask(data)
    assert taken == [1]
    want = reference(ask, data)
    flat = lambda found: (  # noqa: E731
        [b for part in found for b in flat(part)]
        if isinstance(found, tuple)
        else [found[k] for k in found]
        if isinstance(found, dict)
        else [found]
    )
    assert type(got) is type(want)
    assert len(flat(got)) == len(flat(want))
    for g, e in zip(flat(got), flat(want), strict=True):
        assert g.shape == e.shape
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-5)


def test_values_come_with_their_layout(taken):
    x, _, f = model()
    data = rows()
    f.eval({x: data})
    got = f.eval({x: data}, as_numpy=False)
    assert taken == [1]
    assert (len(got), got.shape) == (3, (3, 4))
    np.testing.assert_array_equal(got.asarray(), f.eval({x: data}))


def test_other_numbers_of_samples_take_turns():
    x, w, f = model()
    for count in (1, 3, 70, 1, 66, 3, 70, 500, 70):
        data = rows(count)
        np.testing.assert_allclose(f.eval({x: data}), np.tanh(data @ w.value + 0.5), rtol=1e-5, atol=1e-6)


# ---- what changes is noticed


def test_new_numbers_of_parameters_and_constants_are_noticed():
    x = C.input_variable(6)
    w, c = C.parameter(6, init=1), C.constant(np.float32(2))
    f = x * w + c
    data = rows()
    for number in (1.0, 3.0, 5.0):
        w.value, c.value = np.full(6, number, np.float32), np.float32(2 * number)
        for _ in range(2):
            np.testing.assert_allclose(f.eval({x: data}), data * number + 2 * number, rtol=1e-6)


def test_a_switch_is_noticed(taken):
    x, _, f = model()
    data = rows()
    f.eval({x: data})
    with settings.option(native=False):
        f.eval({x: data})
        f.eval({x: data})
    f.eval({x: data})
    assert taken == [0]
    f.eval({x: data})
    assert taken == [1]


def test_a_listener_hears_steps_at_once(taken):
    x, _, f = model()
    data = rows()
    f.eval({x: data})
    f.eval({x: data})
    heard = []
    stop = BUS.subscribe(StepTimed, heard.append)
    f.eval({x: data})
    stop()
    assert taken == [1]
    assert heard


def test_a_nan_is_found_once_that_is_asked_for():
    x = C.input_variable(2)
    f = x - C.abs(x)
    bad = np.array([[1, np.inf]], np.float32)
    f.eval({x: bad})
    f.eval({x: bad})
    with settings.option(watch_nan=True), pytest.raises(LabError, match="became NaN"):
        f.eval({x: bad})


def test_a_change_of_the_graph_is_noticed():
    x = C.input_variable(3)
    p = C.placeholder(3)
    f = x + p
    g = C.dropout(x, 0.5)
    data = rows(2, 3)
    f.replace_placeholders({p: x})
    ones = np.ones((2, 3), np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(f.eval({x: data}), data + data)
        assert set(g.grad({x: data}, wrt=[x]).ravel()) <= {0, 2}
    g.root_function.set_attribute("dropoutRate", 0.0)
    for _ in range(2):
        np.testing.assert_array_equal(g.grad({x: data}, wrt=[x]), ones)


def test_random_numbers_are_drawn_anew():
    x = C.input_variable(3)
    f = x + C.random.uniform((3,))
    data = rows(2, 3)
    drawn = [f.eval({x: data}) for _ in range(4)]
    assert len({d.tobytes() for d in drawn}) == 4


def test_functions_of_users_are_called_each_time():
    called = []

    class Twice(C.ops.functions.UserFunction):
        def __init__(self, operand, name="twice"):
            super().__init__([operand], name=name)

        def forward(self, argument, device=None, outputs_to_retain=None):
            called.append(1)
            return None, argument * 2

        def backward(self, state, root_gradients):
            return root_gradients * 2

        def infer_outputs(self):
            v = self.inputs[0]
            return [C.output_variable(v.shape, v.dtype, v.dynamic_axes)]

    x = C.input_variable(3)
    f = C.user_function(Twice(x)) + 1
    data = rows(2, 3)
    for _ in range(4):
        np.testing.assert_allclose(f.eval({x: data}), data * 2 + 1, rtol=1e-6)
    assert len(called) == 4


# ---- other data go the general way


ODD = {
    "a list": lambda a: a.tolist(),
    "float64": lambda a: a.astype(np.float64),
    "other byte order": lambda a: a.astype(">f4"),
    "a frame axis": lambda a: a[:, None],
    "a list of samples": list,
    "a value": C.Value,
    "a part of an array": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "columns first": np.asfortranarray,
    "a masked array": np.ma.array,
}


@pytest.mark.parametrize("kind", ODD)
def test_data_in_other_forms_give_the_same(kind):
    x, _, f = model()
    data = rows()
    f.eval({x: data})
    want = f.eval({x: data})
    for named in ({x: ODD[kind](data)}, {"x": ODD[kind](data)}, ({x: ODD[kind](data)}, [True] * 3)):
        np.testing.assert_allclose(f.eval(named), want, rtol=1e-6)


WRONG = {
    "too wide": lambda x, a: {x: np.concatenate([a, a], axis=1)},
    "no axis": lambda x, a: {x: np.float32(1)},
    "nothing": lambda x, a: {},
    "an unknown name": lambda x, a: {"y": a},
    "objects": lambda x, a: {x: a.astype(object)},
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_data_raise_what_they_raised_the_first_time(kind):
    x, _, f = model()
    data = rows()
    with pytest.raises(LabError) as fresh:
        f.eval(WRONG[kind](x, data))
    f.eval({x: data})
    f.eval({x: data})
    with pytest.raises(LabError) as again:
        f.eval(WRONG[kind](x, data))
    assert (again.type, again.value.what) == (fresh.type, fresh.value.what)


def test_inputs_with_different_numbers_of_samples_are_refused():
    x, y = C.input_variable(3), C.input_variable(3)
    f = x + y
    two, three = rows(2, 3), rows(3, 3)
    for _ in range(2):
        np.testing.assert_array_equal(f.eval({x: two, y: two}), two + two)
    with pytest.raises(LabError, match="Different minibatch layouts"):
        f.eval({x: two, y: three})


def test_outputs_that_are_not_computed_by_the_function_are_refused_each_time():
    x, _, f = model()
    other = C.input_variable(6) * 2
    for _ in range(2):
        with pytest.raises(LabError, match="is not computed by the function"):
            f.eval({x: rows()}, [other])


def test_questions_are_forgotten_after_others():
    memory = ports.use("executor")._memory
    x = C.input_variable(2)
    with settings.option(native=False):
        for i in range(140):
            (x * float(i)).eval({x: np.ones((1, 2), np.float32)})
    assert len(memory._asked) == 128


def test_another_device_is_not_answered_from_the_memory_of_this_one(monkeypatch):
    x, _, f = model()
    data = rows()
    f.eval({x: data})
    f.eval({x: data})

    def no_tier(device):
        raise LookupError(device.title)

    monkeypatch.setattr(plans, "tier_of", no_tier)
    with pytest.raises(LookupError, match="pretended"):
        f.eval({x: data}, device=DeviceDescriptor(DeviceKind.GPU, 0, "pretended"))


@pytest.mark.parametrize("lengths", [(4,), (1, 1, 1), (2, 5, 1)])
@pytest.mark.parametrize("sparse", [False, True])
def test_results_of_sequences_are_the_users_own_memory(lengths, sparse):
    x = C.sequence.input_variable(5, is_sparse=sparse)
    w = C.parameter(init=_rng.normal(size=(5, 4)).astype(np.float32))
    f = C.tanh(C.times(x, w))
    numbers = [_rng.integers(0, 5, n) for n in lengths]
    eye = np.eye(5, dtype=np.float32)

    def fed(turn):
        turned = [(one + turn) % 5 for one in numbers]
        return C.Value.one_hot(turned, 5) if sparse else [eye[one] for one in turned]

    first = f.eval({x: fed(0)})
    kept = [a.copy() for a in first]
    second = f.eval({x: fed(1)})
    assert not any(np.shares_memory(a, b) for a in first for b in second)
    for a, before, b, one in zip(first, kept, second, numbers, strict=True):
        np.testing.assert_array_equal(a, before)
        np.testing.assert_allclose(a, np.tanh(w.value[one]), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(b, np.tanh(w.value[(one + 1) % 5]), rtol=1e-5, atol=1e-6)


def test_parameters_are_in_place_on_every_tier():
    x, w, f = model()
    data = rows()
    want = f.eval({x: data})
    for switches in ({"native": False}, {"native": True}, {"checked": True}, {"native_after": 10}):
        with settings.option(**switches):
            np.testing.assert_allclose(f.eval({x: data}), want, rtol=1e-5, atol=1e-6)
            w.value = w.value * 2
            want = np.tanh(data @ w.value + 0.5)
            np.testing.assert_allclose(f.eval({x: data}), want, rtol=1e-5, atol=1e-6)

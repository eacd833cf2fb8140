"""Learners change parameters as CNTK 2.7 does (golden numbers), scale rates the same way, and keep checkpoints."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import learners, settings
from cntk_lab.errors import AttributeValueError, DataError, GraphError, ShapeError, SignatureError, TrainingError
from cntk_lab.graph.variable import Parameter
from cntk_lab.learners import learning_parameter_schedule as schedule
from cntk_lab.tensor.randomness import next_seed, reset_random_seed

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "learners.json").read_text())
# float64: the order of a handful of operations may differ; float32: the same, and CNTK's float32 reductions
TOLERANCE = {"float64": 1e-12, "float32": 1e-6}


def scheduled(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "tc" in value:
        return learners.momentum_as_time_constant_schedule(value["tc"])
    return schedule(value["value"], value.get("mb"), value.get("epoch"))


def build(case: dict[str, Any], parameters: list[Parameter]) -> learners.Learner:
    arguments = [scheduled(v) for v in case["args"]]
    options = {k: scheduled(v) for k, v in case["kwargs"].items()}
    made = getattr(learners, case["learner"])(parameters, *arguments, **options)
    assert isinstance(made, learners.Learner)
    return made


def describe(case: dict[str, Any]) -> str:
    return f"{case['learner']}-{case['args']}-{case['kwargs']}-{case['dtype']}"


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=describe)
def test_parameters_go_where_cntk_takes_them(case: dict[str, Any]) -> None:
    dtype = np.dtype(case["dtype"])
    reset_random_seed(11)
    p = {k: Parameter(np.shape(v), init=np.array(v, dtype), dtype=dtype) for k, v in GOLDEN["weights"].items()}
    learner = build(case, list(p.values()))
    path = []
    for samples, gradient in zip(GOLDEN["counts"], GOLDEN["gradients"], strict=True):
        assert learner.update({p[k]: np.array(gradient[k], dtype) for k in p}, samples)
        path.append({k: p[k].value.ravel().tolist() for k in p})
    expected = case["after"]
    for found, wanted in zip(path if len(expected) == len(path) else [path[0], path[-1]], expected, strict=True):
        for k in p:
            assert found[k] == pytest.approx(wanted[k], rel=TOLERANCE[case["dtype"]], abs=TOLERANCE[case["dtype"]])
    reset_random_seed()


def one_step(learner_name: str, lr: Any, *args: Any, samples: int = 4, gradient: float = 1.0, **options: Any) -> float:
    w = Parameter((1,), init=1.0, dtype=np.float64)
    getattr(learners, learner_name)([w], lr, *args, **options).update({w: np.array([gradient])}, samples)
    return float(1 - w.value[0])


# (minibatch size of the schedule, of the learner) -> sgd step for g=1, adam step with epsilon 1, N=4, lr=0.5:
# observations/learner_minibatch_size_matrix of CNTK 2.7
MATRIX = [
    (None, None, 0.125, 0.051777),
    (None, 0, 0.125, 0.075111),
    (None, 1, 0.5, 0.207107),
    (None, 2, 0.25, 0.103553),
    (0, None, 0.125, 0.051777),
    (0, 0, 0.125, 0.075111),
    (0, 1, 0.125, 0.051777),
    (0, 2, 0.125, 0.051777),
    (1, None, 0.5, 0.207107),
    (1, 0, 0.5, 0.300442),
    (1, 2, 0.5, 0.207107),
    (2, None, 0.25, 0.103553),
    (2, 0, 0.25, 0.150221),
    (2, 1, 0.25, 0.103553),
]


@pytest.mark.parametrize(("of_schedule", "of_learner", "sgd_step", "adam_step"), MATRIX)
def test_rates_mean_what_their_minibatch_sizes_say(
    of_schedule: int | None, of_learner: int | None, sgd_step: float, adam_step: float
) -> None:
    lr = schedule(0.5, of_schedule)
    assert one_step("sgd", lr, minibatch_size=of_learner) == pytest.approx(sgd_step)
    half = schedule(0.5, 0)
    found = one_step("adam", lr, half, variance_momentum=half, epsilon=1.0, minibatch_size=of_learner)
    assert found == pytest.approx(adam_step, abs=1e-6)


@pytest.mark.parametrize(
    ("lr", "minibatch_size", "step"),
    [
        (schedule(0.5), None, 0.125),
        (schedule(0.5), 1, 0.125),
        (schedule(0.5, 1), None, 0.125),
        (schedule(0.5, 2), None, 0.25),
        (0.5, None, 0.125),
        (0.5, 1, 0.5),
    ],
)
def test_mean_gradients_under_their_old_name(lr: Any, minibatch_size: int | None, step: float) -> None:
    assert one_step("sgd", lr, minibatch_size=minibatch_size, use_mean_gradient=True) == pytest.approx(step)


@pytest.mark.parametrize(
    ("momentum", "minibatch_size", "left"),
    [
        (0.9, None, 0.9),
        (0.9, 2, 0.9**2),
        (schedule(0.9, 0), 2, 0.9),
        (schedule(0.9, 1), None, 0.9**4),
        (learners.momentum_as_time_constant_schedule(10), None, math.exp(-0.4)),
        (learners.momentum_schedule(0.9), 2, 0.9**2),
    ],
)
def test_momentum_means_what_its_minibatch_size_says(momentum: Any, minibatch_size: int | None, left: float) -> None:
    w = Parameter((1,), init=0.0, dtype=np.float64)
    learner = learners.momentum_sgd([w], schedule(1, 1), momentum, unit_gain=False, minibatch_size=minibatch_size)
    learner.update({w: np.array([1.0])}, 4)
    first = w.value[0]
    learner.update({w: np.array([0.0])}, 4)
    assert (w.value[0] - first) / first == pytest.approx(left)


def test_rate_follows_samples_or_sweeps() -> None:
    w = Parameter((1,), init=0.0)
    by_samples = learners.sgd([w], schedule([(2, 0.5), 0.25], 1, epoch_size=3))
    by_sweeps = learners.sgd([w], schedule([0.5, 0.25], 1))
    rates = []
    for i in range(4):
        rates.append((by_samples.learning_rate(), by_sweeps.learning_rate()))
        by_samples.update({w: np.zeros(1, np.float32)}, 2)
        by_sweeps.update({w: np.zeros(1, np.float32)}, 2, i == 1)
    assert rates == [(0.5, 0.5), (0.5, 0.5), (0.5, 0.25), (0.25, 0.25)]
    assert (by_sweeps.total_number_of_samples_seen(), by_sweeps.total_number_of_sweeps_seen()) == (8, 1)


def test_reset_rate_begins_with_its_first_value() -> None:
    w = Parameter((1,), init=0.0)
    learner = learners.sgd([w], 0.1, minibatch_size=1)
    learner.update({w: np.zeros(1, np.float32)}, 18)
    learner.reset_learning_rate(schedule([0.5, 0.25], 1, epoch_size=20))
    rates = []
    for _ in range(5):
        rates.append(learner.learning_rate())
        learner.update({w: np.zeros(1, np.float32)}, 6)
    assert rates == [0.5, 0.5, 0.5, 0.5, 0.25]
    assert learner.total_number_of_samples_seen() == 48
    with pytest.raises(SignatureError, match="learning_rate is a float, it must be a schedule"):
        learner.reset_learning_rate(0.2)  # type: ignore[arg-type]


def test_rate_zero_does_nothing() -> None:
    w = Parameter((1,), init=1.0)
    learner = learners.momentum_sgd([w], schedule([0.0, 0.1], 1, 4), 0.9)
    assert [learner.update({w: np.ones(1, np.float32)}, 4) for _ in range(3)] == [False, False, False]
    assert (w.value[0], learner.total_number_of_samples_seen()) == (1.0, 0)


def test_each_learner_takes_a_seed() -> None:
    reset_random_seed(20)
    w = Parameter((1,), init=1.0)
    assert learners.sgd([w], 0.1).create_checkpoint()["noise_injection_seed"] == 20
    learners.adam([w], 0.1, 0.9)
    assert next_seed() == 22
    reset_random_seed()


@pytest.mark.parametrize(
    "case", [c for c in GOLDEN["cases"] if c["dtype"] == "float32" and not c["kwargs"].get("unit_gain")], ids=describe
)
def test_training_goes_on_from_a_checkpoint_as_if_never_interrupted(case: dict[str, Any]) -> None:
    def gradient(p: list[Parameter], i: int) -> dict[Parameter, Any]:
        return {w: np.array(GOLDEN["gradients"][i][k], np.float32) for w, k in zip(p, ("a", "b"), strict=True)}

    def fresh() -> list[Parameter]:
        return [Parameter(np.shape(v), init=np.array(v, np.float32)) for v in GOLDEN["weights"].values()]

    reset_random_seed(11)
    whole, broken, resumed = fresh(), fresh(), fresh()
    learner, first = build(case, whole), build(case, broken)
    first.restore_from_checkpoint(learner.create_checkpoint())  # the same seed for noise
    for i in range(3):
        learner.update(gradient(whole, i), 4)
        first.update(gradient(broken, i), 4)
    for old, new in zip(broken, resumed, strict=True):
        new.value = old.value
    second = build(case, resumed)
    second.restore_from_checkpoint(first.create_checkpoint())
    for i in range(3, 5):
        learner.update(gradient(whole, i), 4)
        second.update(gradient(resumed, i), 4)
    for a, b in zip(whole, resumed, strict=True):
        assert (a.value == b.value).all()
    assert second.learning_rate() == learner.learning_rate()
    reset_random_seed()


@pytest.mark.parametrize(
    ("name", "arguments", "shapes"),
    [  # for parameters of shape (2, 3, 4), () and (3,): printed by CNTK 2.7
        ("sgd", (0.1,), [(), (), ()]),
        ("momentum_sgd", (0.1, 0.9), [(2, 3, 4), (), (3,)]),
        ("adagrad", (0.1,), [(2, 3, 4), (), (3,)]),
        ("adam", (0.1, 0.9), [(12, 4), (2, 1), (2, 3)]),
        ("rmsprop", (0.1, 0.9, 1.2, 0.8, 2.0, 0.1), [(18, 4), (3, 1), (3, 3)]),
    ],
)
def test_checkpoints_stack_state_as_cntk_does(name: str, arguments: tuple[float, ...], shapes: list[Any]) -> None:
    parameters = [Parameter(s, init=1.0) for s in ((2, 3, 4), (), (3,))]
    learner = getattr(learners, name)(parameters, *arguments)
    learner.update({p: np.ones(p.shape, np.float32) for p in parameters}, 4)
    made = learner.create_checkpoint()
    assert [a.shape for a in made["smoothed_gradients"]] == shapes
    assert (made["sample_count"], made["minibatchCount"], made["version"], made["type"]) == (4, 1, 3, "Learner")
    assert made["learnig_rate_schedule"]["schedule"] == {"0": 0.1}
    if name == "adam":  # averaged squares above averaged gradients
        assert made["smoothed_gradients"][2] == pytest.approx(
            np.array([[5.543231964111328e-06] * 3, [0.1] * 3]), rel=1e-5
        )
        assert made["smoothed_count"] == 1.0


def test_checkpoints_of_others_are_refused_and_change_nothing() -> None:
    p, q = Parameter((2,), init=1.0), Parameter((3,), init=1.0)
    learner, other = learners.adam([p], 0.1, 0.9), learners.momentum_sgd([q], 0.1, 0.9)
    before = learner.create_checkpoint()
    with pytest.raises(TrainingError, match="the state of learner adam cannot be read"):
        learner.restore_from_checkpoint(other.create_checkpoint())
    with pytest.raises(TrainingError, match=r"has the shape \(2, 3\), learner adam needs \(2, 2\)"):
        learner.restore_from_checkpoint(learners.adam([q], 0.1, 0.9).create_checkpoint())
    with pytest.raises(TrainingError, match="holds the state of 2 parameters, learner adam has 1"):
        learner.restore_from_checkpoint(learners.adam([p, q], 0.1, 0.9).create_checkpoint())
    assert str(learner.create_checkpoint()) == str(before)


def test_forgetting_state_keeps_counts() -> None:
    p = Parameter((2,), init=1.0)
    learner = learners.momentum_sgd([p], 0.1, 0.9)
    learner.update({p: np.ones(2, np.float32)}, 4)
    learner.reset_smoothed_gradients()
    made = learner.create_checkpoint()
    assert (made["smoothed_gradients"][0].tolist(), made["sample_count"]) == ([0.0, 0.0], 4)


def test_updates_are_formulas_over_parameter_gradient_state_and_scalars() -> None:
    p = Parameter((2, 3), init=1.0)
    (update,) = learners.momentum_sgd([p], 0.1, 0.9, l2_regularization_weight=0.1).updates()
    assert update.parameter is p
    assert [name for name, _ in update.outputs] == ["p", "v"]
    assert list(update.state) == ["v"]
    assert set(update.scalars) == {"rate", "momentum", "gain", "weight_decay"}
    kernel = update.kernel()
    assert [o.name for o in kernel.inputs] == ["p", "g", "v", *update.scalars]
    assert kernel.in_place == (("p", "p"), ("v", "v"))


class Heard:
    """A writer that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, float]] = []

    def write(self, key: str, value: float) -> None:
        self.lines.append((key, value))


@pytest.mark.parametrize(
    ("name", "arguments", "lines"),
    [
        ("sgd", (schedule([0.001, 0.002], 1, 10),), [("Learning rate per 1 samples", r) for r in (0.001, 0.002)]),
        ("sgd", (schedule(0.1, 4),), [("Learning rate per 4 samples", 0.1)]),
        ("momentum_sgd", (0.1, 0.9), [("Learning rate per minibatch", 0.1), ("Momentum per minibatch", 0.9)]),
        ("adam", (0.1, 0.9), [("Learning rate per minibatch", 0.1)]),
    ],
)
def test_writers_are_told_rates_when_they_change(name: str, arguments: Any, lines: list[tuple[str, float]]) -> None:
    w = Parameter((1,), init=1.0)
    learner, heard = getattr(learners, name)([w], *arguments), Heard()
    learner.add_progress_writers([heard])
    for _ in range(4):
        learner.update({w: np.zeros(1, np.float32)}, 5)
    assert heard.lines == lines


def test_wrong_parameters_are_refused() -> None:
    p = Parameter((2,))
    with pytest.raises(GraphError, match="list of parameters must not be empty"):
        learners.sgd([], 0.1)
    with pytest.raises(GraphError, match="must not contain duplicates"):
        learners.sgd([p, p], 0.1)
    with pytest.raises(SignatureError, match="a learner needs a list of parameters"):
        learners.sgd(p, 0.1)
    with pytest.raises(SignatureError, match="'a' is not a parameter"):
        learners.sgd(["a"], 0.1)  # type: ignore[list-item]
    with pytest.raises(ShapeError, match="dimensions that are not known yet, so a learner cannot update it"):
        learners.sgd([Parameter((-1, 2), init=0.0)], 0.1)


def test_wrong_arguments_are_refused() -> None:
    p = Parameter((2,))
    with pytest.raises(ValueError, match="sgd: lr is a str, not a number, a list or a schedule"):
        learners.sgd([p], "0.1")  # type: ignore[arg-type]
    with pytest.raises(AttributeValueError, match="epsilon is -1, it must not be negative"):
        learners.adam([p], 0.1, 0.9, epsilon=-1)
    with pytest.raises(AttributeValueError, match="gradient_clipping_threshold_per_sample is -1"):
        learners.sgd([p], 0.1, gradient_clipping_threshold_per_sample=-1)
    good: dict[str, Any] = {"gamma": 0.9, "inc": 1.2, "dec": 0.8, "max": 2.0, "min": 0.1}
    for name, value in (("gamma", 1.9), ("inc", 0.5), ("dec", 1.5), ("max", 0.05)):
        with pytest.raises(RuntimeError, match=f"rmsprop: {name} is {value}"):
            learners.rmsprop([p], 0.1, **{**good, name: value})


def test_wrong_gradients_are_refused() -> None:
    p = Parameter((2,), init=1.0)
    learner = learners.sgd([p], 0.1)
    with pytest.raises(DataError, match="no gradient is given for Parameter"):
        learner.update({}, 4)
    with pytest.raises(ShapeError, match=r"has the shape \(3,\)"):
        learner.update({p: np.ones(3, np.float32)}, 4)
    with pytest.raises(DataError, match="at least one sample"):
        learner.update({p: np.ones(2, np.float32)}, 0)
    assert p.value.tolist() == [1.0, 1.0]


def test_gradients_may_carry_leading_axes_of_length_one() -> None:
    p = Parameter((2,), init=1.0)
    learners.sgd([p], 0.5, minibatch_size=1).update({p: np.ones((1, 2), np.float32)}, 1)
    assert p.value.tolist() == [0.5, 0.5]


def test_infinite_step_sizes_of_rmsprop_leave_the_parameter() -> None:
    p = Parameter((2,), init=1.0)
    learner = learners.rmsprop([p], 0.1, 0.1, 3.0, 0.1, math.inf, 1e-8)
    for _ in range(100):  # 0.02 * 3^n leaves the range of float32 after 84 updates, seen in CNTK 2.7 too
        learner.update({p: np.ones(2, np.float32)}, 4)
    assert np.isinf(learner.create_checkpoint()["smoothed_gradients"][0][2]).all()
    assert np.isfinite(p.value).all()


def test_user_learner_gets_gradients_and_is_counted() -> None:
    class Plain(learners.UserLearner):
        def update(self, gradient_values: Any, training_sample_count: int, sweep_end: bool = False) -> bool:
            for p, g in gradient_values.items():
                p.value = p.value - self.learning_rate() / training_sample_count * g
            return not sweep_end

    w = Parameter((2,), init=1.0)
    learner = Plain([w], schedule([0.5, 0.25], epoch_size=4))
    assert learner.take({w: np.full(2, 4.0, np.float32)}, 4)
    assert w.value.tolist() == [0.5, 0.5]
    assert (learner.learning_rate(), learner.total_number_of_samples_seen()) == (0.25, 4)
    assert not learner.take({w: np.zeros(2, np.float32)}, 4, sweep_end=True)
    assert learner.total_number_of_samples_seen() == 4
    (kept,) = learner.updates()
    kept.state["gradient"].write(np.full(2, 2.0, np.float32))
    assert learner.take_kept(4)
    assert w.value.tolist() == [0.375, 0.375]
    with pytest.raises(SignatureError, match="learning rate of a user learner is a float, not a schedule"):
        Plain([w], 0.5)  # type: ignore[arg-type]


def test_unit_gain_default_can_be_changed() -> None:
    assert learners.default_unit_gain_value() is True
    learners.set_default_unit_gain_value(False)
    try:
        assert one_step("momentum_sgd", schedule(0.5, 1), 0.9) == pytest.approx(0.5)
    finally:
        learners.set_default_unit_gain_value(True)
    assert one_step("momentum_sgd", schedule(0.5, 1), 0.9) == pytest.approx(0.05)


def test_one_formula_gives_the_same_bits_built_in_and_as_a_graph() -> None:
    def train(make: Any) -> list[np.ndarray]:
        reset_random_seed(5)
        x, y = C.input_variable(5), C.input_variable(3)
        z = C.layers.Dense(3)(C.layers.Dense(4, activation=C.sigmoid)(x))
        trainer = C.Trainer(z, (C.cross_entropy_with_softmax(z, y),), [make(z.parameters)])
        rng = np.random.default_rng(3)
        for _ in range(10):
            rows = rng.normal(size=(25, 5)).astype(np.float32)
            trainer.train_minibatch({x: rows, y: np.eye(3, dtype=np.float32)[rng.integers(0, 3, 25)]})
        return [p.value for p in z.parameters]

    def plain(parameters: Any, gradients: Any) -> Any:
        return C.combine([C.assign(p, p - 0.125 / 25 * g) for p, g in zip(parameters, gradients, strict=True)])

    with settings.option(background_compilation=False):  # updates in machine code from the first minibatch on
        built_in = train(lambda ps: learners.sgd(ps, schedule(0.125)))
        as_graph = train(lambda ps: learners.universal(plain, ps))  # its first evaluations are NumPy's
    assert all(np.array_equal(a, b) for a, b in zip(built_in, as_graph, strict=True))

"""Contracts of every learner: a training plan and a direct update do the same, and checkpoints forget nothing."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import learners
from cntk_lab.formula.print_numpy import numpy_function
from cntk_lab.graph.variable import Parameter
from cntk_lab.learners import _builders, _rules
from cntk_lab.learners._declare import Rule
from cntk_lab.learners._learner import Learner
from cntk_lab.train import Trainer

RULES = {name: rule for name, rule in vars(_rules).items() if isinstance(rule, Rule)}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "lr": {"lr": 0.1},
    "momentum": {"momentum": 0.9},
    "rmsprop": {"gamma": 0.9, "inc": 1.2, "dec": 0.8, "max": 2.0, "min": 0.1},
}
EXTRAS: list[dict[str, Any]] = [
    {},
    {"minibatch_size": learners.IGNORE},
    {"l1_regularization_weight": 0.01, "l2_regularization_weight": 0.02, "gradient_clipping_threshold_per_sample": 0.3},
    {"gradient_clipping_threshold_per_sample": 0.3, "gradient_clipping_with_truncation": False},
    {"gaussian_noise_injection_std_dev": 0.1},
]
SHAPES = [(3, 2), (2,), ()]


def build(name: str, parameters: list[Parameter], extra: dict[str, Any]) -> Learner:
    function: Callable[..., Learner] = getattr(learners, name, None) or learners.adam
    wanted = inspect.signature(function).parameters
    arguments: dict[str, Any] = {**ARGUMENTS.get(name, {})}
    arguments.update({k: v for known in ("lr", "momentum") if known in wanted for k, v in ARGUMENTS[known].items()})
    if name == "adamax":
        arguments["adamax"] = True
    return function(parameters, **arguments, **extra)


def fresh() -> list[Parameter]:
    random = np.random.default_rng(3)
    return [Parameter(s, init=random.normal(size=s).astype(np.float32)) for s in SHAPES]


def test_every_builder_has_its_rule() -> None:
    made = {build(name, fresh(), {}).rule.name for name in [*_builders.__all__, "adamax"] if name in {*RULES, "adamax"}}
    assert made == set(RULES)


@pytest.mark.parametrize("extra", EXTRAS, ids=str)
@pytest.mark.parametrize("name", RULES)
def test_a_plan_and_a_direct_update_do_the_same(name: str, extra: dict[str, Any]) -> None:
    planned, direct = fresh(), fresh()
    x = [C.input_variable(s) for s in SHAPES]
    terms = [v * p for v, p in zip(x, planned, strict=True)]
    loss = C.reduce_sum(terms[0]) + C.reduce_sum(terms[1]) + terms[2]
    one, other = build(name, planned, extra), build(name, direct, extra)
    other.restore_from_checkpoint(one.create_checkpoint())  # the same seed for noise
    trainer = Trainer(None, loss, one)
    random = np.random.default_rng(4)
    for samples in (4, 4, 2, 5):
        data = [random.normal(size=(samples, *s)).astype(np.float32) for s in SHAPES]
        trainer.train_minibatch(dict(zip(x, data, strict=True)))
        gradients = {p: d.sum(axis=0, dtype=np.float32) for p, d in zip(direct, data, strict=True)}
        other.update(gradients, samples)
    for a, b in zip(planned, direct, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-5, abs=1e-6)  # sums of float32 in another order
    assert (one.total_number_of_samples_seen(), one.total_number_of_minibatches_seen()) == (15, 4)


@pytest.mark.parametrize("name", RULES)
def test_formulas_read_only_what_an_update_declares(name: str) -> None:
    for extra in EXTRAS:
        learner = build(name, fresh(), extra)
        values = learner.scalar_values(4)
        for update in learner.updates():
            assert set(update.scalars) <= set(values)
            assert {n for n, _ in update.outputs} == {"p", *learner.rule.state}
            numpy_function(update.kernel())  # raises if a formula reads an input that the kernel lacks


@pytest.mark.parametrize("name", RULES)
def test_checkpoints_hold_every_state(name: str) -> None:
    parameters, copies = fresh(), fresh()
    first, second = build(name, parameters, {}), build(name, copies, {})
    random = np.random.default_rng(5)
    gradients = [[random.normal(size=s).astype(np.float32) for s in SHAPES] for _ in range(3)]
    for g in gradients[:2]:
        first.update(dict(zip(parameters, g, strict=True)), 4)
    for p, q in zip(parameters, copies, strict=True):
        q.value = p.value
    second.restore_from_checkpoint(first.create_checkpoint())
    first.update(dict(zip(parameters, gradients[2], strict=True)), 4)
    second.update(dict(zip(copies, gradients[2], strict=True)), 4)
    for p, q in zip(parameters, copies, strict=True):
        assert (p.value == q.value).all()

"""Claims on the steps of a plan: they have no effect, one place decides, and only what won is made."""

import pytest

import cntk_lab as C
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.engine.cpu import claims
from cntk_lab.engine.cpu.learning import Descent, descent_of
from cntk_lab.engine.cpu.step import Claim, NativeStep, Rank
from cntk_lab.engine.cpu.target import ONEDNN
from cntk_lab.engine.plan import Map
from cntk_lab.engine.plan.reference import reference
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand
from tests.unit.engine.passes.printed import plan_of

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


def trained(columns=10):
    """A product with a bias and relu, a thin product that learns, a recurrence, a convolution, one of sparse rows."""
    x, image, words = C.input_variable(20), C.input_variable((2, 6, 6)), C.input_variable(30, is_sparse=True)
    frames = C.sequence.input_variable(4)
    dense, conv = C.layers.Dense(64, C.relu)(x), C.layers.Convolution2D((3, 3), 2, C.relu)(image)
    last = C.sequence.last(C.layers.Recurrence(C.layers.LSTM(5))(frames))
    all_ = C.splice(dense, C.reshape(conv, 32), last, C.layers.Embedding(8)(words))
    out = C.reduce_sum(C.layers.Dense(columns)(all_))
    updates = C.momentum_sgd(out.parameters, 0.1, 0.9).updates()
    return plan_of(ONEDNN, roots=out.outputs, totals=out.outputs, updates=updates, training=True)


def test_claims_compile_nothing(monkeypatch):
    plan = trained()
    monkeypatch.setattr(jit, "request", lambda *_: pytest.fail("a claim asked for a kernel"))
    found = claims.claims_of(plan)
    assert {c.rank for c in found} == set(Rank) - {Rank.BLENDED}


def test_claims_come_in_the_order_in_which_they_win():
    plan = trained()
    ranks = [c.rank for c in claims.claims_of(plan)]
    assert ranks == sorted(ranks)
    steps = claims.native_steps(plan)
    claims.check_claims(plan, steps)
    assert len(steps) == len(plan.steps)


def test_where_claims_overlap_the_first_rank_wins_and_only_that_is_made(monkeypatch):
    plan, made = trained(), []

    def claim(rank, *steps):
        return Claim(rank, steps, lambda: made.append((rank, steps)) or [NativeStep() for _ in steps])

    rivals = (claim(Rank.ALONE, 0), claim(Rank.ALONE, 1), claim(Rank.FINISHING, 1, 2), claim(Rank.THIN, 0, 1))
    monkeypatch.setattr(claims, "CLAIMERS", (lambda index: iter(rivals[:2]), lambda index: iter(rivals[2:])))
    steps = claims.native_steps(plan)
    assert made == [(Rank.THIN, (0, 1))]
    assert [i for i, s in enumerate(steps) if s is not None] == [0, 1]


def test_who_loses_a_formula_still_does_its_own_step(monkeypatch):
    """The formula behind a product goes to somebody else: the product then ends without it."""
    x, w = C.input_variable(30), C.parameter((30, 40), init=1)
    plan = plan_of(ONEDNN, outputs=C.relu(C.times(x, w) + C.parameter(40)).outputs)
    assert [type(s).__name__ for s in claims.native_steps(plan)] == ["GemmStep", "MapStep"]
    plan = plan_of(ONEDNN, outputs=C.tanh(C.times(x, w) + C.parameter(40)).outputs)
    assert [type(s).__name__ for s in claims.native_steps(plan)] == ["GemmStep", "Absorbed"]
    other = Claim.one(Rank.FRAMES, 1, NativeStep)
    monkeypatch.setattr(claims, "CLAIMERS", (*claims.CLAIMERS, lambda index: iter([other])))
    product, formula = claims.native_steps(plan)
    assert (type(product).__name__, type(formula)) == ("GemmStep", NativeStep)
    assert product.writes_early() == product.reads_early() == ()


P, G, V, M, S, T = range(6)


def learner(**outputs):
    """A step on a matrix of three elements whose numbers are m, s and t."""
    named = {n: Operand(reference(n), (1,) if n in (M, S, T) else (3,), False) for n in (P, G, V, M, S, T)}
    formulas = {{"p": P, "v": V}[name]: formula for name, formula in outputs.items()}
    kernel = Kernel((3,), False, tuple(named.values()), tuple((named[n], f) for n, f in formulas.items()))
    return Map(tuple(named), tuple(formulas), kernel=kernel)


p, g, v, m, s, t = (e.input_(reference(n)) for n in (P, G, V, M, S, T))


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ({"p": p - s * g}, Descent(P, G, (S,), together=True)),
        ({"p": p - s * t * g}, Descent(P, G, (S, T), together=True)),
        ({"p": p - s * (g * t)}, Descent(P, G, (S, T), together=False)),
        ({"v": m * v + s * t * g, "p": p - (m * v + s * t * g)}, Descent(P, G, (S, T), True, V, M)),
        ({"p": p - (s * g + v * m), "v": s * g + v * m}, Descent(P, G, (S,), True, V, M)),
        ({"p": p - g}, None),
        ({"p": p + s * g}, None),
        ({"p": p - s * g * g}, None),
        ({"p": p - v * g}, None),
        ({"v": m * v + s * g, "p": p - s * g}, None),
        ({"v": g * v + s * g, "p": p - (g * v + s * g)}, None),
        ({"v": m * v + s * g}, None),
    ],
)
def test_gradient_descent_is_known_by_its_formulas(outputs, found):
    got = descent_of(learner(**outputs), G)
    if got is not None and found is not None:
        assert set(got.scales) == set(found.scales)
        got = Descent(got.parameter, got.gradient, found.scales, got.together, got.velocity, got.share)
    assert got == found

"""Values that a program names but whose numbers nobody asks for: plans run without them, in every tier."""

import numpy as np
import pytest

import cntk_lab as C
from tests.unit.engine.tiers import flat, same_in_every_tier


@pytest.mark.parametrize(
    "places",
    [
        lambda x: C.sequence.where(C.greater(C.reduce_sum(x), -0.5)),
        lambda x: C.sequence.where(C.greater(C.reduce_sum(x), -0.5)) * 2 + 1,
        lambda x: C.sequence.gather(C.ones_like(x), C.greater(C.reduce_sum(x), -0.5)),
    ],
    ids=["where", "where in a formula", "gather of ones"],
)
def test_gradients_need_no_sequences_that_are_not_computed(places):
    x = C.sequence.input_variable(2, needs_gradient=True)
    z = places(C.sigmoid(x))
    feed = {x: [np.ones((2, 2), "f"), np.ones((1, 2), "f")]}
    same_in_every_tier(lambda: flat(z.grad(feed, [x])))

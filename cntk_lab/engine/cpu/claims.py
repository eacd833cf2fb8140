"""Which native code does each step of a plan, or that it stays on NumPy: a table of claims, decided in one place.

Each family looks at a plan and says which steps it would take, alone or several together; nothing is compiled for that.
Where claims overlap, the one that ranks first wins (see ``Rank``), and only what won is made. Knows no operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cntk_lab.engine.cpu import frames, loop, maps, momentum, operators, products, sparse, thin
from cntk_lab.engine.cpu.step import Absorbed, Claim, NativeStep
from cntk_lab.engine.plan import Plan
from cntk_lab.engine.plan.check import illegal
from cntk_lab.engine.plan.index import Index

Claimer = Callable[[Index], Iterator[Claim]]


def _of_products(index: Index) -> Iterator[Claim]:
    """What all families that do products would take of them."""
    for product in products.dense_products(index):
        yield from thin.claims(product)
        yield from momentum.claims(product)
        yield from products.claims(product)


CLAIMERS: tuple[Claimer, ...] = (
    frames.claims,
    sparse.claims,
    loop.claims,
    _of_products,
    products.claims_batched,
    operators.claims,
    maps.claims,
)
"""Who may claim steps; in any order."""


def claims_of(plan: Plan) -> list[Claim]:
    """All claims on a plan's steps, in the order in which they win."""
    index = Index(plan)
    return sorted((c for claimer in CLAIMERS for c in claimer(index)), key=lambda c: c.rank)


def native_steps(plan: Plan) -> list[NativeStep | None]:
    """For each step of a plan its native form; None where it stays on NumPy."""
    result: list[NativeStep | None] = [None] * len(plan.steps)
    free = set(range(len(plan.steps)))
    for claim in claims_of(plan):
        if free.issuperset(claim.steps):
            free.difference_update(claim.steps)
            for i, own in zip(claim.steps, claim.make(), strict=True):
                result[i] = own
    return result


def check_claims(plan: Plan, steps: Sequence[NativeStep | None]) -> None:
    """See that each step that another one does along the way is done by one.

    Raises:
        ExecutionError: naming the step that nobody does.
    """
    done = {w for own in steps if own is not None for w in own.writes_early()}
    for i, (step, own) in enumerate(zip(plan.steps, steps, strict=True)):
        if isinstance(own, Absorbed) and not done.issuperset(step.writes):
            says = "a step that is done along the way is written by the step that does it"
            raise illegal(plan, f"as native code: step {i}, {step.words()}, is done by nobody", "claims", says)

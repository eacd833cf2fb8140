"""The doctor's table: one training of each sort, sick and healthy; all of them by ``python -m tests.doctor``."""

import pytest

from tests.doctor.asking import findings, right
from tests.doctor.cases import HEALTHY, SICK


def first_of_each(cases):
    return list({case.name.rsplit(" ", 1)[0]: case for case in cases}.values())


@pytest.mark.parametrize("case", first_of_each(SICK), ids=lambda case: case.name)
def test_a_sick_training_is_named_however_short_it_is(case) -> None:
    found, seconds = findings(case)
    assert right(case, found), [(f.kind, f.words) for f in found]
    assert seconds < 10


@pytest.mark.parametrize("case", first_of_each(HEALTHY), ids=lambda case: case.name)
def test_a_healthy_training_is_let_alone(case) -> None:
    found, _ = findings(case)
    assert right(case, found), [(f.kind, f.words) for f in found]

"""Tests here need a GPU; without one each says what is missing."""

from pathlib import Path

import pytest

from cntk_lab.backends import choose
from cntk_lab.device import DeviceDescriptor, DeviceKind


def pytest_collection_modifyitems(items):
    """Mark everything in this folder ``gpu``."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def gpu():
    """The backend of the first GPU."""
    what, fix = choose.gpu_obstacle()
    if what:
        pytest.skip(f"no GPU: {what} ({fix})")
    return choose.backend_of(DeviceDescriptor(DeviceKind.GPU, 0))

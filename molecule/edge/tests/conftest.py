"""What the tests of this scenario share."""

import pytest
from inside import host_in

NAMES = ("pf-edge12", "pf-edge13")


@pytest.fixture(scope="session")
def hosts():
    """Both, for what is done to both at the same time."""
    return [host_in(name) for name in NAMES]

"""The hosts of this scenario; each test says which one it needs."""

import pytest
from inside import host_in


@pytest.fixture(scope="session")
def debian12():
    return host_in("pf-topologies12")


@pytest.fixture(scope="session")
def debian13():
    return host_in("pf-topologies13")

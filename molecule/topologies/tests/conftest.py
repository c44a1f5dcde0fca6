"""The hosts of this scenario; each test says which one it needs."""

import pytest
import testinfra


@pytest.fixture(scope="session")
def debian12():
    return testinfra.get_host("docker://pf-topologies12")


@pytest.fixture(scope="session")
def debian13():
    return testinfra.get_host("docker://pf-topologies13")

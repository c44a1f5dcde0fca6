"""What the tests of this scenario share."""

import pytest
import testinfra

NAMES = ("pf-edge12", "pf-edge13")


@pytest.fixture(scope="session")
def hosts():
    """Both, for what is done to both at the same time."""
    return [testinfra.get_host(f"docker://{name}") for name in NAMES]

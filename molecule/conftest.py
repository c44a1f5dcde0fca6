"""The hosts that most scenarios have, one of each Debian; a scenario with others has fixtures of its own."""

import os
from typing import Any

import pytest
from inside import host_in


@pytest.fixture(scope="session")
def hosts() -> list[Any]:
    """Both, for what is done to both at the same time."""
    return [host_in(f"pf-{os.environ['MOLECULE_SCENARIO_NAME']}{debian}") for debian in (12, 13)]


@pytest.fixture(scope="session")
def one(hosts: list[Any]) -> list[Any]:
    """The first host alone, for what the other Debian adds nothing to."""
    return hosts[:1]

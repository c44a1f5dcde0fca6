"""What each test of the package begins with."""

import pytest
from upkeeper.errors import use_problem_details


@pytest.fixture(autouse=True)
def _problem_details():
    """The package's own form of an error, whatever the shop chose in the same process."""
    use_problem_details(True)

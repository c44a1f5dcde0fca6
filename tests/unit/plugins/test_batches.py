"""Who changes together in a rolling deploy."""

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.filter.batches import batches

SERVERS = [f"app{number}" for number in range(1, 8)]


@pytest.mark.parametrize(
    ("servers", "sizes", "lengths"),
    [
        (0, [1], []),
        (1, [1, "50%"], [1]),
        (2, [1, "50%"], [1, 1]),
        (3, [1, "50%"], [1, 2]),
        (7, [1, "50%"], [1, 4, 2]),
        (7, ["100%"], [7]),
        (7, [1], [1] * 7),
        (7, [2, 10], [2, 5]),
        (7, ["1%"], [1] * 7),
    ],
)
def test_the_last_size_holds_for_all_that_remain(servers, sizes, lengths):
    found = batches(SERVERS[:servers], sizes)
    assert [len(batch) for batch in found] == lengths
    assert [server for batch in found for server in batch] == SERVERS[:servers]


@pytest.mark.parametrize("sizes", [[], [0], ["0%"], ["101%"], [-1], ["half"], [1.5]])
def test_a_size_that_is_none_is_refused(sizes):
    with pytest.raises(AnsibleFilterError, match=r"^app_batches (has|is)"):
        batches(SERVERS, sizes)

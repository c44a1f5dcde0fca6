"""What all modules have in common."""

from pathlib import Path

import pytest

MODULES = sorted((Path(__file__).parents[2] / "plugins" / "modules").glob("*.py"))
# These only read.
READING = {"host_info", "readiness", "server_state", "traffic", "verify"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_what_a_module_writes_has_the_same_mode_whatever_the_umask_of_root(module):
    text = module.read_text(encoding="utf-8")
    runs_on_hosts = "AnsibleModule(" in text
    assert ("    os.umask(0o022)\n" in text) == (runs_on_hosts and module.stem not in READING)

"""The playbooks of the collection as it was."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from plays import ROOT, Result, play

# Before builds had an account of their own, releases belonged to root, and Nginx's files had a folder of ours.
EARLIER = "f24df3915086e498cc7f306a4255d70ffd596d73"


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    """`earlier("site", app_source=…)` runs a playbook of the earlier state."""
    collections = tmp_path_factory.mktemp("earlier")
    folder = collections / "ansible_collections" / "production" / "fastapi"
    subprocess.run(["git", "clone", "--quiet", "--shared", "--no-checkout", ROOT, folder], check=True)
    done = subprocess.run(["git", "-C", folder, "checkout", "--quiet", EARLIER], check=False)
    assert done.returncode == 0, f"This checkout does not have {EARLIER[:7]}; 'git fetch --unshallow' brings it."

    def run(playbook: str, **variables: Any) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANSIBLE_COLLECTIONS_PATH", str(collections))
            return play(playbook=folder / "playbooks" / f"{playbook}.yml", **variables)

    return run

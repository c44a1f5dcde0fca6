"""Run the collection's playbooks from a test, against the hosts of the scenario."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SITE = ROOT / "site.yml"
DEPLOY = ROOT / "playbooks" / "deploy.yml"


@dataclass(frozen=True)
class Result:
    """What a run printed, and how it ended."""

    returncode: int
    output: str

    @property
    def text(self) -> str:
        """The output in one line, so that a sentence is found wherever the terminal broke it."""
        return re.sub(r"\s+", " ", self.output)

    def succeeded(self) -> "Result":
        """Return itself, unless it failed; then show what it printed."""
        assert self.returncode == 0, self.output
        return self

    def stats(self, word: str) -> dict[str, int]:
        """Return the recap's figure of a word, such as `changed`, by host."""
        return {host: int(n) for host, n in re.findall(rf"^(\S+)\s+: ok=.*?\b{word}=(\d+)", self.output, re.MULTILINE)}


def play(*arguments: str, playbook: Path = SITE, inventory: str | None = None, **variables: Any) -> Result:
    """Run a playbook with extra variables; the inventory is that of the scenario unless another is named."""
    # As Molecule names it: the folder, so that a receipt is written beside it and not into it.
    folder = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
    command = ["ansible-playbook", "-i", inventory or str(folder), str(playbook)]
    command += [*arguments, "--extra-vars", json.dumps(variables)]
    plain = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "PY_COLORS": "0"}
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=False, timeout=600)
    return Result(done.returncode, done.stdout + done.stderr)

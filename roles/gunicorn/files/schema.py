"""Say which revisions of the database a release knows and which one the database has, as JSON in the last line.

Run by Ansible, role production.fastapi.gunicorn, in the environment of the release. Without Alembic it says nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

try:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
except ImportError:
    print("{}")
    sys.exit()


def describe(settings: Path) -> dict[str, list[str]]:
    """What Alembic says of the release with these settings."""
    config = Config(str(settings))
    scripts = ScriptDirectory.from_config(config)
    heads: list[str] = []

    def see(_revision: Any, context: Any) -> list[Any]:
        heads.extend(context.get_current_heads())
        return []

    # As `alembic current` does: env.py connects, and nothing is migrated.
    with EnvironmentContext(config, scripts, fn=see, dont_mutate=True):
        scripts.run_env()
    return {"known": sorted(script.revision for script in scripts.walk_revisions()), "heads": sorted(heads)}


settings = Path("alembic.ini")
print(f"\n{json.dumps(describe(settings) if settings.is_file() else {})}")

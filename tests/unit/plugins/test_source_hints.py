"""What a source asks for and the settings do not give, by sources as people have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.source_hints import hints
from conftest import role_variables

SETTINGS = """
import os
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic import Field

class Mail(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MAIL_")
    host: str

class Settings(BaseSettings):
    database_url: str
    secret: str = Field(..., validation_alias="APP_SECRET")
    redis_password: str = Field(default=None)
    token: str | None = None
    tags: list[str] = Field(default_factory=list)
    mail: Mail
    level: str = "info"

KEY = os.environ["KEY"]
LEVEL = os.environ.get("LEVEL")

def later():
    return os.environ["LATER"]
"""
DEFAULTS = role_variables("app")
COMPOSE = """
services:
  one: {command: celery -A shop.tasks worker --loglevel info}
  two: {command: "arq shop.worker.Settings"}
  beat: {command: celery -A shop.tasks beat}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An app that asks for nothing."""
    write(tmp_path, "main.py", "from fastapi import FastAPI\napp = FastAPI()\n")
    write(tmp_path, "requirements.txt", "fastapi==0.115.0\n")
    return tmp_path


def write(folder: Path, path: str, text: str = "") -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


def told(folder: Path, subdirectory: str = "", **settings: Any) -> list[str]:
    return hints(folder, {"subdirectory": subdirectory}, {**DEFAULTS, "app_entrypoint": "main:app", **settings})


def test_an_app_that_asks_for_nothing(source: Path) -> None:
    assert told(source) == []
    assert told(source, "not/there") == ["app_entrypoint: the app's folder has no module main."]
    assert told(source / "none") == []


def test_entry_points(source: Path) -> None:
    (source / "main.py").rename(source / "server.py")
    write(source, "src/shop/__init__.py", "api: FastAPI = fastapi.FastAPI()")
    write(source, "tests/app.py", "app = FastAPI()")
    assert told(source) == ["app_entrypoint: the app's folder has no module main; it has server:app and shop:api."]
    assert told(source, app_entrypoint="") == ["app_entrypoint: write server:app or shop:api, which the source has."]
    write(source, "pyproject.toml", "[tool.fastapi]\nentrypoint = 'server:app'\n")
    assert told(source, app_entrypoint="") == []


def test_all_names_of_the_environment_at_once(source: Path) -> None:
    write(source, "core/config.py", SETTINGS)
    names = "MAIL_host, database_url, APP_SECRET, redis_password, KEY"
    sentence = f"app_environment: write {names}, which core/config.py reads and has no default for."
    assert told(source) == [sentence]
    assert told(source, app_environment={"DATABASE_URL": "", "MAIL_HOST": "", "app_secret": ""}) == [
        "app_environment: write redis_password, KEY, which core/config.py reads and has no default for."
    ]
    write(source, "core/config.py", SETTINGS.replace("pydantic_settings", "pydantic"))
    assert "redis_password" not in told(source)[0]
    write(source, "core/config.py", "from decouple import config\nA = config('A')\nB = config('B', default='')\n")
    assert told(source) == ["app_environment: write A, which core/config.py reads and has no default for."]


def test_what_a_validator_makes_of_others_need_not_be_given(source: Path) -> None:
    settings = [
        "class Settings(BaseSettings):",
        "    BROKER: str",
        "    port: int",
        "    @model_validator(mode='before')",
        "    def split(cls, values):",
        "        values['port'] = int(values['BROKER'].split(':')[1])",
        "        return values",
    ]
    write(source, "config.py", "\n".join(settings))
    assert told(source) == ["app_environment: write BROKER, which config.py reads and has no default for."]


def test_a_layout_with_src_has_to_be_installed_or_named(source: Path) -> None:
    (source / "main.py").unlink()
    write(source, "src/shop/__init__.py", "api = FastAPI()")
    sentence = "app_environment: shop is in src, which nothing installs; write PYTHONPATH: src."
    assert told(source, app_entrypoint="shop:api") == [sentence]
    assert told(source, app_entrypoint="shop:api", app_environment={"PYTHONPATH": "src"}) == []
    write(source, "requirements.txt", "fastapi\n-e .\n")
    assert told(source, app_entrypoint="shop:api") == []


@pytest.mark.parametrize(
    ("url", "text", "host"),
    [
        (
            "postgresql+psycopg2://me:pw@db.example.com:5432/shop",
            "url = config.get_main_option('sqlalchemy.url')",
            "db.example.com",
        ),
        ("postgresql://postgres/shop", "", "postgres"),
        ("driver://user:pass@localhost/dbname", "", ""),
        ("postgresql://postgres/shop", "config.set_main_option('sqlalchemy.url', os.environ['URL'])", ""),
        ("sqlite:///shop.db", "", ""),
        ("", "", ""),
    ],
)
def test_migrations_of_a_database_that_is_written_down(source: Path, url: str, text: str, host: str) -> None:
    write(source, "alembic.ini", f"[alembic]\nsqlalchemy.url = {url}\n")
    write(source, "alembic/env.py", text)
    found = f"app_migrate_command: alembic.ini has a database at {host}, and env.py takes no other one."
    assert told(source, app_migrate_command="alembic upgrade head") == ([found] if host else [])


def test_what_other_platforms_do_besides(source: Path) -> None:
    write(source, "backend/alembic.ini")
    write(source, "backend/main.py", "app = FastAPI()")
    write(source, "backend/requirements.txt", "\n")
    write(source, "backend/Dockerfile", "FROM python\nRUN apt-get update && apt-get install -y gcc \\\n  libpq5\n")
    write(source, "compose.yaml", COMPOSE)
    write(source, "web/package.json", '{"scripts": {"build": "vite build"}}')
    workers = [
        '{name: worker1, command: "celery -A shop.tasks worker --loglevel info"}',
        '{name: worker2, command: "arq shop.worker.Settings"}',
    ]
    assert told(source, "backend") == [
        "app_dependencies: requirements.txt is empty; write there what the app needs, FastAPI first.",
        "app_migrate_command: the source has alembic.ini; write alembic upgrade head if it is to migrate.",
        f"app_processes: Docker Compose runs workers; write [{', '.join(workers)}] to run them here.",
        "app_build: web has a front end that nothing builds; see the page on static files if it is to.",
        "app_packages: backend/Dockerfile installs libpq5; write what the app needs of them.",
    ]
    given = {"app_migrate_command": "x", "app_processes": [{}], "app_build": ["x"], "app_packages": ["x"]}
    assert told(source, "backend", app_dependencies="x.txt", **given) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("URL = 'sqlite+aiosqlite:///./notes.db'", "notes.db"),
        ("URL = 'sqlite:////var/lib/notes.db'", ""),
        ("os.makedirs('uploads/images', exist_ok=True)", "uploads"),
        ("Path('uploads').mkdir()", "uploads"),
        ("os.makedirs('/srv/uploads')", ""),
        ("BASE_DIR = 1\n(BASE_DIR / 'logs').mkdir()", "logs"),
        ("data = 1\n(data / 'logs').mkdir()", ""),
        ("handler = RotatingFileHandler('logs/app.log')", "logs"),
        ("handler = FileHandler(filename='app.log')", "app.log"),
        ("logging.basicConfig(filename='app.log')", "app.log"),
        ("db = sqlite3.connect('database/notes.db')", "database/notes.db"),
        ("db = sqlite3.connect(':memory:')", ""),
        ("db = other.connect('notes.db')", ""),
        ("open('state.json', 'w')", "state.json"),
        ("open('state.json')", ""),
        ("open('/tmp/state.json', 'w')", ""),
    ],
)
def test_where_the_app_writes(source: Path, text: str, path: str) -> None:
    write(source, "files.py", text)
    sentence = (
        f"app_shared: the app seems to write to {path} in its source; write [{path}], because a release cannot be"
    )
    assert [each.startswith(sentence) for each in told(source)] == ([True] if path else [])
    assert told(source, app_shared=[f"{path}/"] if path else []) == []


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("database/jobs.db", "database/jobs.db"),
        ("sqlite:///./jobs.sqlite3", "jobs.sqlite3"),
        ("/srv/hello/shared/jobs.db", ""),
        ("sqlite:////srv/hello/shared/jobs.db", ""),
        ("postgresql:///jobs", ""),
        (3, ""),
    ],
)
def test_a_database_beside_the_app_that_the_environment_names(source: Path, value: object, path: str) -> None:
    told_of = [each for each in told(source, app_environment={"JOBS": value}) if "app_shared" in each]
    assert [f"write [{path}]," in each for each in told_of] == ([True] if path else [])


def test_where_an_app_in_a_subdirectory_writes_is_a_path_of_the_source(source: Path) -> None:
    write(source, "backend/files.py", "Path('uploads').mkdir()")
    assert [each for each in told(source, "backend") if "write [backend/uploads]," in each]
    assert not [each for each in told(source, "backend", app_shared=["backend/uploads"]) if "uploads" in each]

"""What a source asks for and the settings do not give, by sources as people have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.source.hints import hints
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


def told(folder: Path, subdirectory: str = "", python: str = "3.13", **settings: Any) -> list[str]:
    given = {**DEFAULTS, "app_entrypoint": "main:app", **settings}
    return hints(folder, {"subdirectory": subdirectory}, given, python)


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
    write(source, "requirements.txt", "fastapi\nalembic\n")
    found = f"app_migrate_command: alembic.ini has a database at {host}, and env.py takes no other one."
    assert told(source, app_migrate_command="alembic upgrade head") == ([found] if host else [])


def test_the_folder_of_code_is_not_shared(source: Path) -> None:
    write(source, "shop/files.py", "open('shop/data/state.json', 'w')\nos.makedirs('shop')")
    assert [each for each in told(source) if "write [shop/data]," in each]


def test_the_beginning_of_names_may_be_one_of_the_class(source: Path) -> None:
    settings = [
        "class Settings(BaseSettings):",
        "    _prefix: ClassVar[str] = 'POSTGRES_'",
        "    model_config = SettingsConfigDict(env_prefix=_prefix)",
        "    host: str",
    ]
    write(source, "config.py", "\n".join(settings))
    assert told(source) == ["app_environment: write POSTGRES_host, which config.py reads and has no default for."]


def test_packages_of_an_image_are_no_words_of_comments(source: Path) -> None:
    lines = ["FROM python:3.13", "# RUN apt-get install telnet", "RUN apt-get update \\", "  # what psycopg2 needs"]
    write(
        source, "Dockerfile", "\n".join([*lines, "  && apt-get install -y libpq5 \\", "  && rm -r /var", "RUN ls -l"])
    )
    assert told(source) == ["app_packages: Dockerfile installs libpq5; write what the app needs of them."]


@pytest.mark.parametrize(
    ("code", "packages"),
    [
        ("import httpx", "httpx (main.py imports it)"),
        ("import shop.mail", "httpx (shop/mail.py imports it)"),
        ("from shop import mail", "httpx (shop/mail.py imports it)"),
        ("from shop.mail import send", "httpx (shop/mail.py imports it)"),
        ("import shop.near", "boto3 (shop/deep.py imports it)"),
        ("import jwt, yaml, PIL.Image", "pyjwt (main.py imports it), pyyaml (main.py imports it), pillow (main.py"),
        ("from jose import jwt", "python-jose (main.py imports it)"),
        ("class A:\n    import httpx", "httpx (main.py imports it)"),
        ("try:\n    import httpx\nfinally:\n    pass", "httpx (main.py imports it)"),
        ("try:\n    import httpx\nexcept ImportError:\n    httpx = None", ""),
        ("try:\n    import httpx\nexcept Exception:\n    raise", ""),
        ("if TYPE_CHECKING:\n    import httpx", ""),
        ("def send():\n    import httpx", ""),
        ("import uvicorn, starlette, pydantic, typing_extensions, json, distutils", ""),
        ("import shared.things", ""),
        ("from pydantic import EmailStr\nclass A:\n    mail: EmailStr", "email-validator (main.py uses EmailStr)"),
        ("from pydantic import EmailStr", ""),
        ("from fastapi import Form as F\ndef f(a = F()): pass", "python-multipart (main.py uses Form)"),
        ("from fastapi import UploadFile\ndef f(a: UploadFile): pass", "python-multipart (main.py uses UploadFile)"),
        (
            "from fastapi.security import OAuth2PasswordRequestForm as O\ndef f(a: O): pass",
            "python-multipart (main.py uses OAuth2PasswordRequestForm)",
        ),
        ("from fastapi.templating import Jinja2Templates\nt = Jinja2Templates('t')", "jinja2 (main.py uses Jinja2Tem"),
        (
            "from starlette.middleware.sessions import SessionMiddleware as S\nmake(S)",
            "itsdangerous (main.py uses SessionMiddleware)",
        ),
        ("c = CryptContext(schemes=['bcrypt'])", "bcrypt (main.py hashes passwords by it)"),
    ],
)
def test_packages_that_nothing_names(source: Path, code: str, packages: str) -> None:
    write(source, "main.py", f"from fastapi import FastAPI\napp = FastAPI()\n{code}\n")
    write(source, "shop/mail.py", "from . import other\nimport httpx")
    write(source, "shop/other.py", "from .mail import send\nfrom ..main import app")
    write(source, "shop/near.py", "from .deep import boto3")
    write(source, "shop/deep.py", "import boto3")
    write(source, "vendor/shared/things.py")
    sentence = f"app_dependencies: requirements.txt does not name {packages}"
    assert [each.startswith(sentence) for each in told(source)] == ([True] if packages else [])


@pytest.mark.parametrize(
    ("requirements", "ending"),
    [
        ("fastapi\n", "add it there, unless another package brings it."),
        ("fastapi==0.1\n", "add it there, with a version as the others have, unless another package brings it."),
        (
            "fastapi==0.1\nstarlette==0.1\npydantic==1.0\n",
            "add it there, with a version as the others have.",
        ),
        (
            "fastapi==0.1 --hash=sha256:0\nstarlette==0.1\npydantic==1.0\n",
            "add it there, with a version and a hash as the others have.",
        ),
    ],
)
def test_a_list_of_all_packages_is_a_firm_one(source: Path, requirements: str, ending: str) -> None:
    write(source, "main.py", "import bcrypt\napp = FastAPI()\n")
    write(source, "requirements.txt", requirements)
    assert told(source) == [
        f"app_dependencies: requirements.txt does not name bcrypt (main.py imports it); {ending}",
    ]


@pytest.mark.parametrize(
    "requirements",
    [
        "fastapi\nbcrypt",
        "fastapi\npasslib[bcrypt]>=1",
        "fastapi[all]\npasslib [ bcrypt ] ; python_version > '3'",
        "fastapi\ngit+https://git.example.com/x.git#egg=bcrypt",
        "fastapi\nbcrypt @ https://example.com/x.whl",
        "fastapi\n-r more.txt",
    ],
)
def test_packages_that_something_names(source: Path, requirements: str) -> None:
    write(source, "main.py", "import bcrypt\napp = FastAPI()\n")
    write(source, "requirements.txt", requirements)
    write(source, "more.txt", "fastapi\nbcrypt")
    assert told(source) == []


def test_a_list_of_powershell_is_read(source: Path) -> None:
    write(source, "main.py", "import bcrypt\nimport httpx\napp = FastAPI()\n")
    (source / "requirements.txt").write_bytes("fastapi==0.1\r\nbcrypt==1.0\r\n".encode("utf-16"))
    assert [each for each in told(source) if " does not name httpx (" in each]


def test_an_extra_that_has_what_is_missing_is_named(source: Path) -> None:
    (source / "requirements.txt").unlink()
    write(source, "main.py", "import bcrypt\napp = FastAPI()\n")
    project = '[project]\nname = "shop"\ndependencies = ["fastapi"]\n'
    write(source, "pyproject.toml", f'{project}[project.optional-dependencies]\nsafe = ["bcrypt"]\n')
    named = "bcrypt (main.py imports it; app_extras: [safe] has it)"
    assert [each for each in told(source) if f"pyproject.toml does not name {named}; add it" in each]
    assert told(source, app_extras=["safe"]) == []
    write(source, "pyproject.toml", f'{project}[dependency-groups]\nsafe = ["bcrypt", {{include-group = "a"}}]\n')
    assert [each for each in told(source) if "app_groups: [safe] has it" in each]
    assert told(source, app_groups=["safe"]) == []


def test_a_lock_is_a_firm_one(source: Path) -> None:
    (source / "requirements.txt").unlink()
    write(source, "main.py", "import bcrypt\nimport fastapi\napp = FastAPI()\n")
    write(source, "pyproject.toml", '[project]\nname = "shop"\n')
    lock = '[[package]]\nname = "shop"\ndependencies = [{name = "fastapi"}]\n'
    lock += '[[package]]\nname = "bcrypt"\nversion = "1"\n'  # of a group that is not installed
    write(source, "uv.lock", f'{lock}[[package]]\nname = "fastapi"\nversion = "0.1"\n')
    assert told(source) == ["app_dependencies: uv.lock does not name bcrypt (main.py imports it); add it there."]


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("postgresql+asyncpg://a:secret@db/shop", "asyncpg (DB asks for asyncpg)"),
        ("postgresql://a:secret@db/shop", "psycopg2-binary (DB is the URL of a database)"),
        ("mysql+mysqldb://a:secret@db/shop", "mysqlclient (DB asks for mysqldb)"),
        ("sqlite:////srv/shop/shared/shop.db", ""),
        ("https://example.com", ""),
    ],
)
def test_drivers_of_databases(source: Path, url: str, package: str) -> None:
    found = [each for each in told(source, app_environment={"DB": url}) if "app_dependencies" in each]
    assert [f"does not name {package}; add" in each and "secret" not in each for each in found] == [True] * bool(
        package
    )
    write(source, "requirements.txt", "fastapi\nasyncpg\npsycopg2-binary\nmysqlclient\n")
    given = {"app_environment": {"DB": url}, "app_packages": ["build-essential"]}
    assert not [each for each in told(source, **given) if "app_dependencies" in each]


def test_programs_of_processes_and_what_they_import(source: Path) -> None:
    write(source, "shop/tasks.py", "import httpx")
    processes = [{"name": "worker", "command": "celery --app=shop.tasks:app worker"}]
    assert told(source, app_processes=processes) == [
        "app_dependencies: requirements.txt does not name httpx (shop/tasks.py imports it), celery (celery"
        " --app=shop.tasks:app worker is to be run); add it there, with a version as the others have, unless another"
        " package brings it."
    ]


def test_the_schedule_of_beat_needs_a_place(source: Path) -> None:
    write(source, "requirements.txt", "fastapi\ncelery\n")
    for command, hinted in (("beat", True), ("beat -s x", False), ("beat --schedule=x", False), ("worker", False)):
        processes = [{"name": "clock", "command": f"celery -A shop {command}"}]
        found = told(source, app_processes=processes, app_name="shop")
        sentence = "app_processes: add -s /srv/shop/shared/celerybeat-schedule to the command of clock, which writes"
        assert [each.startswith(sentence) for each in found] == [True] * hinted


def test_a_factory_imports_when_the_app_starts(source: Path) -> None:
    write(source, "main.py", "def create_app():\n    from shop import routes\n")
    write(source, "shop/routes.py", "import httpx")
    for entrypoint in ("main:create_app", "main:create_app()"):
        assert [each for each in told(source, app_entrypoint=entrypoint) if "httpx (shop/routes.py imports it)" in each]


def test_what_has_to_be_compiled_names_all_packages_of_debian(source: Path) -> None:
    write(source, "requirements.txt", "fastapi\npsycopg2==2.9.9\npsycopg[c]\npsycopg2-binary\n")
    write(source, "Dockerfile", "RUN apt-get install libpq-dev gcc")
    sentence = "app_packages: there is no wheel of psycopg2 and psycopg-c, so that it has to be compiled; write"
    assert told(source) == [f"{sentence} [libpq-dev, python3-dev, build-essential]."]
    assert told(source, app_packages=["gcc", "git"]) == [f"{sentence} [gcc, git, libpq-dev, python3-dev]."]
    assert told(source, app_packages=["gcc", "libpq-dev", "python3-dev"]) == []


@pytest.mark.parametrize(
    ("pins", "python", "sentence"),
    [
        (
            "orjson==3.6.9\ngreenlet==2.0.2",
            "3.13",
            'orjson 3.6.9 and greenlet 2.0.2 have no wheel for Python 3.13; write "3.10"',
        ),
        ("greenlet==2.0.2", "3.13", 'greenlet 2.0.2 has no wheel for Python 3.13; write "3.11"'),
        ("greenlet==2.0.2", "3.11", ""),
        ("greenlet==2.0.2", "", ""),
        ("greenlet==0.4", "3.13", 'write "3.10", and python3-dev and build-essential in app_packages'),
        ("pydantic==2.5.0", "3.13", 'pydantic 2.5.0 has no wheel for Python 3.13; write "3.12"'),
        ("pydantic==1.10.7", "3.13", ""),
        ("greenlet>=1", "3.13", ""),
        ("greenlet==9.0", "3.15", ""),
    ],
)
def test_pins_that_are_older_than_the_python(source: Path, pins: str, python: str, sentence: str) -> None:
    write(source, "requirements.txt", f"fastapi==0.115.0\n{pins}\n")
    found = told(source, python=python)
    assert [each.startswith("app_python: ") and f"{sentence}." in each for each in found] == [True] * bool(sentence)
    assert told(source, python=python, app_python="3.10", app_packages=["python3-dev", "gcc", "build-essential"]) == []


def test_the_python_is_what_the_source_asks_for(source: Path) -> None:
    write(source, "requirements.txt", "fastapi==0.115.0\ngreenlet==2.0.2\n")
    write(source, "Dockerfile", "FROM python:3.11-slim")
    assert told(source) == []
    write(source, ".python-version", "3.12")
    assert [each for each in told(source) if "no wheel for Python 3.12; write" in each]
    (source / ".python-version").unlink()
    write(source, "pyproject.toml", '[project]\nname = "x"\nrequires-python = ">=3.11,<3.13"\n')
    assert told(source, python="3.13") == []
    assert told(source, python="3.12")


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
        ("open('files.py', 'w')", ""),
        ("path = f'uploads/images/{name}'\nopen(path, mode='wb+')", "uploads/images"),
        ("logger.add('app.log', level='INFO')", "app.log"),
        ("numbers.add('app.log')", ""),
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

"""Settings fit each other, and a wrong one is one sentence that names its variable."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from upkeeper.settings import BreakerSettings, DatabaseSettings, RateSettings, RetrySettings, TimeSettings, load

PROJECT = Path(__file__).parents[2]


class Settings(TimeSettings, DatabaseSettings, RetrySettings, BreakerSettings, RateSettings, BaseSettings):
    model_config = SettingsConfigDict(env_prefix="APP_")

    token_key: SecretStr = Field(default=SecretStr("k" * 32), min_length=32)
    redis_url: str = Field(default="", pattern="^(unix|redis)://|^$")
    tags: list[int] = []


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("APP_"):
            monkeypatch.delenv(name)


def sentences(capsys, monkeypatch, **variables):
    """What is printed when the environment has these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    assert stopped.value.code == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


def test_the_defaults_fit():
    loaded = load(Settings)
    assert loaded.redis_timeout < loaded.attempt_timeout <= loaded.dependency_timeout < loaded.request_timeout
    assert TimeSettings().model_dump() == {
        "redis_timeout": 0.25,
        "connect_timeout": 2,
        "read_timeout": 10,
        "write_timeout": 5,
        "pool_timeout": 2,
        "attempt_timeout": 10,
        "dependency_timeout": 20,
        "step_timeout": 5,
        "request_timeout": 30,
    }
    others = {
        "database_pool_size": 5,
        "database_pool_timeout": 5,
        "retry_attempts": 3,
        "retry_base_delay": 0.5,
        "retry_max_delay": 10,
        "retry_jitter": 0.2,
        "retry_budget": 0.2,
        "breaker_failures": 5,
        "breaker_window": 30,
        "breaker_recovery_time": 30,
        "rate_limit_window": 60,
        "rate_limit_on_outage": "open",
        "rate_limit_local_share": 0.25,
    }
    assert loaded.model_dump(include=set(others)) == others


def test_a_variable_with_the_prefix_is_read(monkeypatch):
    monkeypatch.setenv("APP_REQUEST_TIMEOUT", "45")
    assert load(Settings).request_timeout == 45


def test_what_is_not_set_fits_into_a_shorter_request(monkeypatch):
    monkeypatch.setenv("APP_REQUEST_TIMEOUT", "3")
    loaded = load(Settings)
    assert (loaded.dependency_timeout, loaded.attempt_timeout) == (2, 1)
    assert (loaded.connect_timeout, loaded.read_timeout, loaded.redis_timeout) == (1, 1, 0.25)
    assert loaded.database_pool_timeout == loaded.step_timeout == 2


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(list(TimeSettings.model_fields)), st.floats(0.01, 100)))
def test_whatever_is_accepted_fits(values):
    try:
        times = TimeSettings(**values)
    except ValidationError:
        return
    assert times.redis_timeout < times.attempt_timeout <= times.dependency_timeout < times.request_timeout
    assert max(times.connect_timeout, times.read_timeout, times.write_timeout) <= times.attempt_timeout
    assert times.pool_timeout <= times.attempt_timeout
    assert times.step_timeout < times.request_timeout
    assert times.redis_timeout <= 2
    assert {name: getattr(times, name) for name in values} == values


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"APP_DEPENDENCY_TIMEOUT": "40"},
            "APP_DEPENDENCY_TIMEOUT (40 s) must be less than APP_REQUEST_TIMEOUT (30 s): "
            "write APP_DEPENDENCY_TIMEOUT=20, or raise APP_REQUEST_TIMEOUT above 40.",
        ),
        (
            {"APP_DEPENDENCY_TIMEOUT": "30"},
            "APP_DEPENDENCY_TIMEOUT (30 s) must be less than APP_REQUEST_TIMEOUT (30 s): "
            "write APP_DEPENDENCY_TIMEOUT=20, or raise APP_REQUEST_TIMEOUT above 30.",
        ),
        (
            {"APP_ATTEMPT_TIMEOUT": "6", "APP_READ_TIMEOUT": "6.5"},
            "APP_READ_TIMEOUT (6.5 s) must not exceed APP_ATTEMPT_TIMEOUT (6 s): "
            "write APP_READ_TIMEOUT=6, or raise APP_ATTEMPT_TIMEOUT above 6.5.",
        ),
        (
            {"APP_RETRY_BASE_DELAY": "20"},
            "APP_RETRY_BASE_DELAY (20 s) must not exceed APP_RETRY_MAX_DELAY (10 s): "
            "write APP_RETRY_BASE_DELAY=10, or raise APP_RETRY_MAX_DELAY above 20.",
        ),
        (
            {"APP_DATABASE_POOL_TIMEOUT": "6"},
            "APP_DATABASE_POOL_TIMEOUT (6 s) must not exceed APP_STEP_TIMEOUT (5 s): "
            "write APP_DATABASE_POOL_TIMEOUT=5, or raise APP_STEP_TIMEOUT above 6.",
        ),
        ({"APP_REDIS_TIMEOUT": "3"}, "APP_REDIS_TIMEOUT should be less than or equal to 2, and is '3'."),
        ({"APP_RETRY_ATTEMPTS": "0"}, "APP_RETRY_ATTEMPTS should be greater than or equal to 1, and is '0'."),
        ({"APP_RATE_LIMIT_ON_OUTAGE": "ajar"}, "APP_RATE_LIMIT_ON_OUTAGE should be 'open' or 'closed', and is 'ajar'."),
        ({"APP_REQUEST_TIMEOUT": "inf"}, "APP_REQUEST_TIMEOUT should be a finite number, and is 'inf'."),
    ],
)
def test_one_problem_is_one_sentence(capsys, monkeypatch, variables, sentence):
    assert sentences(capsys, monkeypatch, **variables) == [sentence]


def test_every_problem_is_told_at_once(capsys, monkeypatch):
    told = sentences(capsys, monkeypatch, APP_DEPENDENCY_TIMEOUT="40", APP_ATTEMPT_TIMEOUT="50")
    assert [line.split()[0] for line in told] == ["APP_DEPENDENCY_TIMEOUT", "APP_ATTEMPT_TIMEOUT"]
    told = sentences(capsys, monkeypatch, APP_REQUEST_TIMEOUT="soon", APP_BREAKER_FAILURES="0")
    assert sorted(line.split()[0] for line in told) == ["APP_BREAKER_FAILURES", "APP_REQUEST_TIMEOUT"]


def test_what_may_be_a_secret_is_not_printed(capsys, monkeypatch):
    told = sentences(capsys, monkeypatch, APP_TOKEN_KEY="hunter2", APP_REDIS_URL="rediss://:hunter2@host")
    assert len(told) == 2
    assert "hunter2" not in "".join(told)


def test_json_that_is_none(capsys, monkeypatch):
    (told,) = sentences(capsys, monkeypatch, APP_TAGS="[")
    assert "tags" in told


def test_an_element_of_a_list_names_the_variable(capsys, monkeypatch):
    (told,) = sentences(capsys, monkeypatch, APP_TAGS='["one"]')
    assert told.startswith("APP_TAGS should be a valid integer")


def test_a_variable_that_is_missing(capsys, monkeypatch):
    class Needy(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="APP_")
        name: str
        alias: str = Field(validation_alias="OTHER_NAME")

    monkeypatch.delenv("OTHER_NAME", raising=False)
    with pytest.raises(SystemExit):
        load(Needy)
    assert sorted(capsys.readouterr().err.splitlines()) == ["APP_NAME is missing.", "OTHER_NAME is missing."]


def test_a_model_that_reads_no_environment_names_its_fields():
    with pytest.raises(ValidationError, match=r"dependency_timeout .* must be less than request_timeout"):
        TimeSettings(dependency_timeout=40)


APPLICATION = """
    from pydantic_settings import BaseSettings, SettingsConfigDict
    from upkeeper.settings import TimeSettings, load

    class Settings(TimeSettings, BaseSettings):
        model_config = SettingsConfigDict(env_prefix="APP_")

    settings = load(Settings)
"""


@pytest.mark.parametrize(
    "server",
    [
        ["-m", "uvicorn", "application:app", "--port", "0"],
        # One worker: when two fail in the same moment, Gunicorn's master ends with a traceback of its own.
        ["-m", "gunicorn", "-w1", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:0", "application:app"],
    ],
    ids=["uvicorn", "gunicorn"],
)
def test_a_server_stops_with_the_sentence_and_no_traceback(tmp_path, server):
    (tmp_path / "application.py").write_text(textwrap.dedent(APPLICATION))
    environment = os.environ | {"APP_DEPENDENCY_TIMEOUT": "40", "PYTHONPATH": f"{PROJECT}{os.pathsep}{tmp_path}"}
    ended = subprocess.run(
        [sys.executable, *server],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 3
    assert "APP_DEPENDENCY_TIMEOUT (40 s) must be less than APP_REQUEST_TIMEOUT (30 s)" in ended.stderr
    assert "Traceback" not in ended.stderr

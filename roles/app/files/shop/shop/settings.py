"""What the environment says: every variable but `DATABASE_URL` begins with `APP_`. None of them is needed to start."""

import os
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from upkeeper.settings import BreakerSettings, DatabaseSettings, RateSettings, RetrySettings, Seconds, TimeSettings

Count = Annotated[int, Field(ge=1)]

# Bytes of a key for HS256, as RFC 7518 (section 3.2) wants them.
KEY_LENGTH = 32


def told(name: str, otherwise: str) -> Callable[[], Any]:
    """What the roles say under the name `PRODUCTION_FASTAPI_…`, where no variable of the shop's own says it."""
    return lambda: os.environ.get(f"PRODUCTION_FASTAPI_{name}", otherwise)


class Settings(TimeSettings, DatabaseSettings, RetrySettings, BreakerSettings, RateSettings, BaseSettings):
    """The variables of the shop, besides those of upkeeper.settings."""

    model_config = SettingsConfigDict(env_prefix="APP_", frozen=True, populate_by_name=True)

    name: str = Field(default_factory=told("NAME", "shop"), description="What the keys in a shared Redis begin with.")
    release: str = Field(
        default_factory=told("RELEASE", "development"), description="The release that the role has built."
    )
    request_timeout: Seconds = Field(
        default_factory=told("REQUEST_TIMEOUT", "30"),
        validate_default=True,
        description="A whole request, which is answered 504 after it.",
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="The least to be logged."
    )

    redis_url: str = Field(
        default_factory=told("REDIS_URL", ""),
        description="unix:///…, redis://… or redis+sentinel://…; empty: each worker is alone.",
    )
    database_url: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="DATABASE_URL",
        description="postgresql://…, which has orders and receipts; empty: they are in memory.",
    )
    dependencies_url: str = Field(
        default="", pattern="^(https?://[^/]+/?)?$", description="Where warehouse and payments answer; empty: nowhere."
    )
    dependency_calls: Count = Field(default=50, description="Calls to one dependency at once, in each worker.")
    token_key: SecretStr = Field(default=SecretStr(""), description="Signs tokens; empty: nobody can sign in.")
    simulator_controls: bool = Field(default=False, description="Let everybody make the simulator fail, and sign in.")

    rate_limit_anonymous: Count = Field(default=100, description="Requests of an address in a window.")
    rate_limit_member: Count = Field(default=1000, description="Requests of a verified identity in a window.")
    rate_limit_checkout: Count = Field(default=10, description="Check-outs of either in a window.")

    upload_limit: Count = Field(default=8 * 2**20, description="Bytes of an upload.")
    events_timeout: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=60, description="Seconds until a stream of events ends and the browser asks again."
    )
    events_streams: Count = Field(default=100, description="Streams of events at once, in each worker.")

    @field_validator("token_key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        if 0 < len(key.get_secret_value().encode()) < KEY_LENGTH:
            raise ValueError(f"a key has at least {KEY_LENGTH} bytes, as `openssl rand -hex 32` makes it")
        return key

    @field_validator("database_url")
    @classmethod
    def _of_postgresql(cls, url: SecretStr) -> SecretStr:
        if not re.match("(postgres(ql)?://|$)", url.get_secret_value()):
            raise ValueError("write the address of a PostgreSQL, such as postgresql://shop@db.example/shop")
        return url

    def missing(self) -> list[tuple[str, str]]:
        """Return the variables to set for the parts of the page that do nothing yet, each with a sentence."""
        parts = [
            ("APP_REDIS_URL", self.redis_url, "Each worker counts and decides alone until it names a Redis."),
            (
                "DATABASE_URL",
                self.database_url.get_secret_value(),
                "Orders are in memory and receipts are not kept until it names a PostgreSQL.",
            ),
            (
                "APP_DEPENDENCIES_URL",
                self.dependencies_url,
                "There is no warehouse and nothing can be paid until it names the simulator.",
            ),
            (
                "APP_SIMULATOR_CONTROLS",
                self.simulator_controls,
                "The buttons that make payments fail are there if true.",
            ),
            ("APP_TOKEN_KEY", self.token_key.get_secret_value(), "Nobody can sign in until it holds a key for tokens."),
        ]
        return [(variable, sentence) for variable, value, sentence in parts if not value]

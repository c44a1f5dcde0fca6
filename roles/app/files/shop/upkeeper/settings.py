"""The values of all layers as settings, checked against each other before the first request.

Each class is one subject. An application joins those that it wants and gives its variables a prefix:

    class Settings(TimeSettings, RetrySettings, BaseSettings):
        model_config = SettingsConfigDict(env_prefix="APP_")

    settings = load(Settings)

A time-out that is longer than the one around it never ends anything. So what was set must fit, what was not set is made
to fit, and a message names variables as the environment has them: `APP_REQUEST_TIMEOUT`.
"""

import sys
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeVar, get_origin

from pydantic import BaseModel, Field, ValidationError, model_validator

# What Uvicorn and Gunicorn leave with when an application cannot start; Gunicorn does not try again after it.
CANNOT_START = 3

Model = TypeVar("Model", bound=BaseModel)
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Fits(NamedTuple):
    """A relation of two fields in seconds: `inner` is less than `outer`, or `equal` to it if that is allowed.

    An `inner` that was not set is at most this `share` of `outer`.
    """

    inner: str
    outer: str
    share: float = 1.0
    equal: bool = False


class FittingSettings(BaseModel):
    """Settings with relations to each other. ValidationError when those that were set do not fit."""

    relations: ClassVar[tuple[Fits, ...]] = ()

    @model_validator(mode="after")
    def _fit(self) -> Self:
        problems = []
        for relation in (each for cls in type(self).__mro__ for each in vars(cls).get("relations", ())):
            inner, outer = getattr(self, relation.inner), getattr(self, relation.outer)
            room = outer * relation.share
            if relation.inner not in self.model_fields_set:
                object.__setattr__(self, relation.inner, min(inner, room))  # not a value that somebody set
            elif inner > outer or (inner == outer and not relation.equal):
                small, large = variable(type(self), relation.inner), variable(type(self), relation.outer)
                order = "must not exceed" if relation.equal else "must be less than"
                problems.append(
                    f"{small} ({inner:g} s) {order} {large} ({outer:g} s): "
                    f"write {small}={room:.3g}, or raise {large} above {inner:g}."
                )
        if problems:
            raise ValueError("\n".join(problems))
        return self


class TimeSettings(FittingSettings):
    """How long each layer waits, in seconds: Redis < one attempt ≤ a dependency with all attempts < the request.

    `request_timeout` must be less than the time-outs of the servers in front, such as Gunicorn and Nginx.
    """

    redis_timeout: Seconds = Field(default=0.25, le=2, description="One round trip to Redis.")
    connect_timeout: Seconds = Field(default=2, description="Opening a connection to a dependency.")
    read_timeout: Seconds = Field(default=10, description="Each wait for data of a dependency.")
    write_timeout: Seconds = Field(default=5, description="Each wait to send data to a dependency.")
    pool_timeout: Seconds = Field(default=2, description="Waiting for a free connection of the client's pool.")
    attempt_timeout: Seconds = Field(default=10, description="One attempt to call a dependency, all in all.")
    dependency_timeout: Seconds = Field(default=20, description="A call of a dependency with all its attempts.")
    step_timeout: Seconds = Field(default=5, description="Any other coroutine, such as a database query.")
    request_timeout: Seconds = Field(default=30, description="A whole request, which is answered 504 after it.")

    # From the outside in, so that what is made to fit has something that fits around it.
    relations: ClassVar[tuple[Fits, ...]] = (
        Fits("dependency_timeout", "request_timeout", share=2 / 3),
        Fits("step_timeout", "request_timeout", share=2 / 3),
        Fits("attempt_timeout", "dependency_timeout", share=1 / 2, equal=True),
        Fits("connect_timeout", "attempt_timeout", equal=True),
        Fits("read_timeout", "attempt_timeout", equal=True),
        Fits("write_timeout", "attempt_timeout", equal=True),
        Fits("pool_timeout", "attempt_timeout", equal=True),
        Fits("redis_timeout", "attempt_timeout", share=1 / 4),
    )


class DatabaseSettings(FittingSettings):
    """The pool of connections to a database. Join it after TimeSettings: the pool ≤ a step ≤ the request."""

    database_pool_size: Count = Field(default=5, description="Connections to the database, in each worker.")
    database_pool_timeout: Seconds = Field(default=5, description="Waiting for a free connection of the pool.")

    relations: ClassVar[tuple[Fits, ...]] = (Fits("database_pool_timeout", "step_timeout", equal=True),)


class RetrySettings(FittingSettings):
    """How often and when a failed call is tried again."""

    retry_attempts: Count = Field(default=3, description="Attempts in all, the first included.")
    retry_base_delay: Seconds = Field(default=0.5, description="The pause before the second attempt.")
    retry_max_delay: Seconds = Field(default=10, description="The longest pause; each is twice the one before.")
    retry_jitter: Share = Field(default=0.2, description="By which share a pause is longer or shorter at random.")
    retry_budget: Share = Field(default=0.2, description="Retries that a dependency gets, as a share of its calls.")

    relations: ClassVar[tuple[Fits, ...]] = (Fits("retry_base_delay", "retry_max_delay", equal=True),)


class BreakerSettings(BaseModel):
    """When a circuit breaker opens, and for how long."""

    breaker_failures: Count = Field(default=5, description="Failures within the window that open it.")
    breaker_window: Seconds = Field(default=30, description="How long a failure counts.")
    breaker_recovery_time: Seconds = Field(
        default=30, description="How long it is open before it lets a probe through."
    )


class RateSettings(BaseModel):
    """How requests are counted. How many a client may send is the application's policy."""

    rate_limit_window: Seconds = Field(default=60, description="How long a request counts.")
    rate_limit_on_outage: Literal["open", "closed"] = Field(
        default="open", description="Without Redis: limit each process alone (open), or answer 503 (closed)."
    )
    rate_limit_local_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.25, description="The share of the limit that each process admits while it limits alone."
    )


def variable(settings: type[BaseModel], field: str) -> str:
    """Name the environment variable of a field; the field's own name when the class does not read the environment."""
    prefix = settings.model_config.get("env_prefix")
    return field if prefix is None else f"{prefix}{field}".upper()


def load(settings: type[Model]) -> Model:
    """Read the settings. When they are wrong, print one sentence for each problem on stderr and leave with status 3."""
    try:
        return settings()
    except ValidationError as error:
        sentences = [sentence for problem in error.errors() for sentence in _sentences(settings, dict(problem))]
    except ValueError as error:  # pydantic-settings could not parse the JSON of a list or dictionary
        sentences = [f"The settings cannot be read: {error}."]
    print("\n".join(sentences), file=sys.stderr, flush=True)
    raise SystemExit(CANNOT_START)


def _sentences(settings: type[BaseModel], problem: dict[str, Any]) -> list[str]:
    raised = problem.get("ctx", {}).get("error")
    message = str(raised or problem["msg"]).rstrip(".")
    if not problem["loc"]:
        return [f"{line}." for line in message.removesuffix(".").split(".\n")]
    field = str(problem["loc"][0])
    name = variable(settings, field) if field in settings.model_fields else field.upper()
    if problem["type"] == "missing":
        return [f"{name} is missing."]
    _unused, verb, rule = message.partition(" should ")
    sentence = f"{name}{verb}{rule}" if verb else f"{name}: {message}"
    if _may_be_shown(settings, field):
        sentence += f", and is {problem['input']!r}"
    return [f"{sentence}."]


def _may_be_shown(settings: type[BaseModel], field: str) -> bool:
    """Whether a value is surely no secret: text may be a password, or a URL with one in it."""
    info = settings.model_fields.get(field)
    kind = info.annotation if info else None
    return kind in (int, float, bool) or get_origin(kind) is Literal

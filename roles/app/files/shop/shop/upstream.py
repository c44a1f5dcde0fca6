"""Answers of other services, taken at their word only when it makes sense."""

from typing import TypeVar

import httpx2
from pydantic import BaseModel, ValidationError
from resilience.errors import Refusal

Model = TypeVar("Model", bound=BaseModel)


class BadAnswer(Refusal):
    """A dependency answered something that is none of what it promises."""

    status = 502


def understood(model: type[Model], answer: httpx2.Response) -> Model:
    """Read a successful answer as `model`. BadAnswer for any other status or content."""
    try:
        if answer.is_success:
            return model.model_validate_json(answer.content)
    except ValidationError:
        pass
    raise BadAnswer("A dependency gave no sensible answer.")

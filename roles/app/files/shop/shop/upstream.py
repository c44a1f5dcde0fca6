"""Other services: asked within the time that all attempts have, and believed only when their answer makes sense."""

from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError
from upkeeper.client import ServiceClient
from upkeeper.deadline import timeout
from upkeeper.errors import Refusal

Model = TypeVar("Model", bound=BaseModel)


class BadAnswer(Refusal):
    """A dependency answered something that is none of what it promises."""

    status = 502


class Upstream:
    """A service whose calls take at most `total` seconds with all their attempts; DeadlineExceeded after it."""

    def __init__(self, client: ServiceClient, *, total: float) -> None:
        self._client = client
        self._total = total

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """See `ServiceClient.request`."""
        async with timeout(self._total):
            return await self._client.request(method, path, **options)


def understood(model: type[Model], answer: httpx2.Response) -> Model:
    """Read a successful answer as `model`. BadAnswer for any other status or content."""
    try:
        if answer.is_success:
            return model.model_validate_json(answer.content)
    except ValidationError:
        pass
    raise BadAnswer("A dependency gave no sensible answer.")

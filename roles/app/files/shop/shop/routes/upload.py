"""An upload that is read as it comes and never held as a whole."""

import hashlib

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

from shop.errors import LIMITED, answers

_BODY = {"requestBody": {"required": False, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}}


class Upload(BaseModel):
    """What came in."""

    bytes: int
    sha256: str


def router(*, limit: int) -> APIRouter:
    """The routes of this subject; `limit` is in bytes."""
    routes = APIRouter(tags=["shop"])
    too_large = HTTPException(413, f"An upload has at most {limit} bytes.", headers={"Connection": "close"})

    @routes.post("/api/upload", responses=answers(413, *LIMITED), openapi_extra=_BODY)
    async def upload(request: Request) -> Upload:
        """Count the bytes of the body and return their SHA-256; 413 as soon as it is known to be too large."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise too_large
        digest = hashlib.sha256()
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit:
                raise too_large
            digest.update(chunk)
        return Upload(bytes=received, sha256=digest.hexdigest())

    return routes

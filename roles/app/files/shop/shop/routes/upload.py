"""An upload that is read as it comes and never held as a whole."""

import hashlib

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

from shop.dependencies import AllServices
from shop.errors import LIMITED, answers

router = APIRouter(tags=["shop"])

_BODY = {"requestBody": {"required": False, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}}


class Upload(BaseModel):
    """What came in."""

    bytes: int
    sha256: str


@router.post("/api/upload", responses=answers(413, *LIMITED), openapi_extra=_BODY)
async def upload(request: Request, services: AllServices) -> Upload:
    """Count the bytes of the body and return their SHA-256; 413 as soon as it is known to be too large."""
    limit = services.settings.upload_limit
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    digest = hashlib.sha256()
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        digest.update(chunk)
    return Upload(bytes=received, sha256=digest.hexdigest())


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"An upload has at most {limit} bytes.", headers={"Connection": "close"})

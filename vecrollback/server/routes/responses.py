"""What routes have in common: the service, and answers as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from vecrollback.records import Json
from vecrollback.server.schemas import ErrorAnswer
from vecrollback.server.service import StoreService


async def _held(
    request: Request,
) -> StoreService:  # async, or FastAPI sends it to a thread, which costs more than a search
    service: StoreService = request.app.state.service
    return service


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
Held = Annotated[StoreService, Depends(_held)]


def as_json(payload: Json, status: int = 200) -> Response:
    """An answer that is already plain values: no model is built of it only to be taken apart again."""
    return Response(_encode(payload).encode(errors="backslashreplace"), status, media_type="application/json")


def answers(*refusals: int, example: Json = None, model: Any = None, status: int = 200) -> dict[int | str, Any]:
    """What the OpenAPI document says of a route's answers: the good one, then the errors all have, then its own."""
    good: dict[str, Any] = {"description": "Done"}
    if model is not None:
        good["model"] = model
    if example is not None:
        good["content"] = {"application/json": {"example": example}}
    errors: dict[int | str, Any] = {
        code: {"model": ErrorAnswer, "description": _MEANING[code]} for code in sorted({*_ALWAYS, *refusals})
    }
    return {status: good, **errors}


_ALWAYS = (400, 401, 403, 404, 413, 421, 422, 429, 500, 503)
_MEANING = {
    400: "The request is wrong",
    401: "No token, or one that opens nothing",
    403: "The token's role does not reach that far",
    404: "No such name",
    409: "A safety rule says no",
    413: "The body is too large",
    421: "The server does not go by that name",
    422: "A field of the request is wrong",
    429: "No room now; see Retry-After",
    500: "The server could not do it; its log says why",
    503: "Not now: the catalog, the model or the server itself is not there",
}

"""Errors as JSON: the fact, the cure, and a status that tells whose turn it is. Never how the server looks inside."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vecrollback.errors import (
    AccessDeniedError,
    BadDocumentError,
    BadFilterError,
    CatalogUnavailableError,
    EmbedderSpecError,
    EmbeddingError,
    FailedError,
    IndexSpecError,
    MissingDependencyError,
    NotVisibleError,
    OverloadedError,
    RefusedError,
    RerankerError,
    RerankerSpecError,
    StoppedError,
    StorageUnavailableError,
    StoreClosedError,
    StoreFormatError,
    StoreNotFoundError,
    UnknownCallerError,
    UnknownNameError,
    UsageError,
    VecrollbackError,
)
from vecrollback.records import Json

_log = logging.getLogger(__name__)

_STATUS: Mapping[type[VecrollbackError], int] = {
    UnknownCallerError: 401,
    AccessDeniedError: 403,
    OverloadedError: 429,
    CatalogUnavailableError: 503,
    StorageUnavailableError: 503,
    EmbeddingError: 503,
    RerankerError: 503,
    FailedError: 500,
    # Of these the caller is not to blame: the server's own store or models are not as they should be.
    StoreNotFoundError: 503,
    StoreClosedError: 503,
    StoreFormatError: 500,
    EmbedderSpecError: 500,
    IndexSpecError: 500,
    RerankerSpecError: 500,
    MissingDependencyError: 500,
    UnknownNameError: 404,
    BadDocumentError: 422,
    BadFilterError: 422,
    UsageError: 400,
    RefusedError: 409,
    NotVisibleError: 409,
    StoppedError: 503,
    VecrollbackError: 500,
}
_HIDDEN = "the server could not do this; its log says why"
TOO_LARGE = "send it in several requests, or let the server take more: vecrollback serve --max-body BYTES"
_DESCRIBED = "GET /openapi.json describes every request"
_RETRY_SECONDS = {429: 1, 503: 5}


def status_of(error: VecrollbackError) -> int:
    """The HTTP status of an error: that of its nearest ancestor in the table."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def answer(status: int, kind: str, message: str, hint: str = "", **facts: Json) -> JSONResponse:
    """An error as every route answers it."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status in _RETRY_SECONDS:
        headers["Retry-After"] = str(facts.get("retry_after", _RETRY_SECONDS[status]))
    error = {"type": kind, "message": message, "hint": hint} | ({"facts": facts} if facts else {})
    return JSONResponse({"error": error}, status, headers)


def unexpected(request_id: str) -> JSONResponse:
    """What is told of an error that nobody meant: its place in the log."""
    return answer(500, "FailedError", _HIDDEN, f"request {request_id}")


def install(app: FastAPI) -> None:
    """Let no other form of error leave the application."""
    app.add_exception_handler(VecrollbackError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, VecrollbackError)
    status = status_of(error)
    kind = type(error).__name__
    request.state.error = kind
    if status >= 500:
        _log.error("%s: %s", kind, error.message, extra={"request_id": request.state.id})
        return answer(status, kind, _HIDDEN, f"request {request.state.id}")
    return answer(status, kind, error.message, error.hint, **_facts(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    # Where and why, never what was sent: it may be large, or no valid text.
    assert isinstance(error, RequestValidationError)
    request.state.error = "UsageError"
    hint = _DESCRIBED
    faults = error.errors()[:5]
    wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in faults]
    if faults[0]["type"] == "model_attributes_type" and faults[0]["loc"] == ("body",):
        wrong, hint = ["the body is not a JSON object"], "send one, with the header Content-Type: application/json"
    return answer(422, "UsageError", _printable("; ".join(wrong)), hint)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    request.state.error = "UsageError"
    message = str(error.detail)
    if error.status_code == 404:
        message = f"there is nothing at {request.url.path}"
    elif error.status_code == 405:
        message = f"{request.url.path} does not take {request.method}"
    hint = TOO_LARGE if error.status_code == 413 else _DESCRIBED
    response = answer(error.status_code, "UsageError", _printable(message), hint)
    response.headers.update(error.headers or {})
    return response


def _facts(error: VecrollbackError) -> dict[str, Json]:
    """What an error carries besides its words: an epoch that was expected, a line."""
    plain = {name: value for name, value in vars(error).items() if isinstance(value, str | int | float)}
    return {name: value for name, value in plain.items() if name != "hint"}


def _printable(text: str) -> str:
    return text[:1000].encode(errors="backslashreplace").decode()

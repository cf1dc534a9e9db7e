"""The dashboard's files. They hold nothing of the store and need no token; their data comes from /v1."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

from vecrollback.server.dashboard import assets

router = APIRouter(include_in_schema=False)

_HEADERS = {
    # Only its own files: no inline script or style, nothing of another origin, no form that leaves.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cache-Control": "no-cache",
}

Known = Annotated[str | None, Header(alias="If-None-Match")]


@router.get("/")
async def page(known: Known = None) -> Response:
    return _asset_response("index.html", known)


@router.get("/assets/{name}")
async def asset(name: str, known: Known = None) -> Response:
    return _asset_response(name, known)


def _asset_response(name: str, etag: str | None) -> Response:
    asset = assets().get(name)
    if asset is None:
        raise HTTPException(404, "no such file")
    headers = _HEADERS | {"ETag": asset.tag}
    if etag == asset.tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers | {"Content-Type": asset.media_type})

"""Values from Prometheus by its HTTP API."""

from __future__ import annotations

from typing import Any

import httpx

from vecrollback.errors import UnreachableError

_SECONDS = 5.0


def query(address: str, promql: str) -> float | None:
    """The value of an instant query: a scalar, or a vector of one element; None for an empty one.

    Raises UnreachableError for no answer, for an error, and for several elements, of which none is the value.
    """
    try:
        answer = httpx.get(f"{address.rstrip('/')}/api/v1/query", params={"query": promql}, timeout=_SECONDS)
        body: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnreachableError(f"Prometheus at {address} gave no answer: {error}") from error
    if body.get("status") != "success":
        raise UnreachableError(f"Prometheus at {address}: {body.get('error', answer.status_code)}")
    kind, result = body["data"]["resultType"], body["data"]["result"]
    if kind == "scalar":
        return float(result[1])
    if kind != "vector" or len(result) > 1:
        raise UnreachableError(
            f"{promql!r} gives {kind} of {len(result)} elements, not one value", hint="aggregate it: sum(...), avg(...)"
        )
    return float(result[0]["value"][1]) if result else None

"""What a service means when it refuses, read from its own words first: statuses differ from one service to the next.

A limit on texts per request comes as 400, 413 or 422, a text that is too long as 400, 413, 422 or 500 (llama.cpp), and
some answer 200 with an object `error` (gateways). The cure depends on what is meant, never on the number alone.
"""

from __future__ import annotations

import re
from typing import Any, Literal

Meaning = Literal["batch", "length", "role", "parameter", "model", "quota", "key", "text", "busy", "other"]
"""`text`: refused for a reason that may be one text's, in words that do not tell. `busy`: later it may work."""

_STATUS_CODE = re.compile(r"[45]\d\d")

# The first that fits counts: "array too long" is about the number of texts, not about their length.
_WORDS: tuple[tuple[Meaning, str], ...] = (
    ("quota", r"insufficient_quota|billing_hard_limit|exceeded your (current )?quota"),
    ("model", r"model\b.{0,80}(not found|does not exist|not loaded)|(no such|unknown|invalid) model"),
    (
        "batch",
        r"batch size \d+ >|maximum allowed batch|array too long|array_above_max|too many (inputs|texts|items)"
        r"|(at most|maximum of|max(imum)?) \d+ (inputs|texts|items|instances|requests)"
        r"|number of (inputs|texts|instances)"
        r"|batch size (limit|is invalid)|largest allowed size|instance\(s\) is allowed"
        r"|requests can be in one batch|texts must be at most"
        r"|per (submitted )?batch|per request",
    ),
    (
        "length",
        r"context (length|size|window)|maximum context|\d+ tokens\)? is too large|must have less than \d+ tokens"
        r"|too many tokens|(exceeds?|longer|larger|greater|more) .{0,60}\b(tokens|length|limit)|too long|max_tokens"
        r"|(length|tokens) .{0,40}(exceed|limit)|token count .{0,40}supports up to|must have less than \d+ characters",
    ),
    (
        "role",
        r"(input_type|task_type|\btask\b).{0,60}(required|missing|provided|must be)"
        r"|(valid|missing|required|provide) .{0,30}(input_type|task_type)",
    ),
    (
        "parameter",
        r"(unknown|unexpected|unrecognized|unsupported|extra) .{0,30}\b(parameter|field|argument|keyword)"
        r"|extra_forbidden|extra (inputs|fields)|does not support parameters|unsupported_parameter|encoding_format"
        r"|dimensions|matryoshka",
    ),
)

_BY_STATUS: dict[int, Meaning] = {400: "text", 404: "model", 413: "batch", 422: "text"}

_CURES: dict[Meaning, str] = {
    "batch": "lower batch_size= or max_tokens_per_request=",
    "length": "a text is longer than the model reads: split documents with chunk=, or cut them with too_long=cut",
    "role": "say what is a document and what a query, such as document.input_type= and query.input_type=",
    "parameter": "leave out the argument that the service does not know, such as dimensions=; encoding_format=none "
    "sends no encoding_format",
    "model": "check the model's name and base_url, which usually ends in /v1",
    "quota": "the quota is used up: raise it with the provider",
    "text": "it may be one of the texts: too long for the model, or not valid for it; or check the model's name",
}
_CURES_BY_STATUS = {
    401: "the key is wrong, or belongs to another service",
    402: "the account has no credit",
    403: "this key may not use this model",
    404: _CURES["model"],
    429: "raise the quota with the provider; against rate limits set rate= (requests per minute)",
}


def meaning_of(status: int, words: str, code: str, texts: int) -> Meaning:
    """What is meant by a refusal of so many texts: by its words and code, else by its status.

    Example:
        >>> meaning_of(422, "batch size 64 > maximum allowed batch size 32", "", 64)
        'batch'
        >>> meaning_of(500, "input (600 tokens) is too large to process. increase the physical batch size", "", 1)
        'length'
        >>> meaning_of(503, "loading", "", 1)
        'busy'
    """
    status = int(code) if status == 200 and _STATUS_CODE.fullmatch(code) else status
    said = f"{words} {code}".lower()
    meaning = next((one for one, pattern in _WORDS if re.search(pattern, said)), None)
    if status in {401, 402, 403}:
        return "key"
    # A busy service speaks of limits too ("60 requests per minute"): only a quota that is used up stays so.
    if status in {408, 409, 429}:
        return "quota" if meaning == "quota" else "busy"
    if meaning is None:
        meaning = _BY_STATUS.get(status, "busy" if status >= 500 or status == 200 else "other")
    # One text cannot be too many.
    return "length" if meaning == "batch" and texts == 1 else meaning


def cure(meaning: Meaning, status: int, words: str) -> str:
    """What to do about it, with the service's own words where they say what is meant."""
    if meaning in {"batch", "length", "role", "parameter"}:
        return f"the service says {_short(words)!r}: {_CURES[meaning]}"
    by_status = _CURES_BY_STATUS.get(status)
    return (
        _CURES.get(meaning) or by_status or "see whether the service is up; the same command resumes where it stopped"
    )


def spoken(body: Any) -> tuple[str, str]:
    """The service's own words and error code, from the body of a refusal; empty where it says nothing."""
    error = body.get("error") or body if isinstance(body, dict) else body
    if isinstance(error, dict):
        text = error.get("message") or error.get("detail") or error
        code = error.get("code") or error.get("type") or body.get("error_type") or ""
        return str(text), str(code)
    return str(error or ""), str(body.get("error_type") or "") if isinstance(body, dict) else ""


def asked_wait(body: Any) -> float | None:
    """Seconds that a refusal asks to wait in its body, as Google's do; None where it does not."""
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        match = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay"))) if isinstance(detail, dict) else None
        if match:
            return float(match[1])
    return None


def no_answer(answer: Any, field: str = "data") -> str | None:
    """Why a body that came with status 200 holds no vectors in that field; None when it holds some."""
    if not isinstance(answer, dict):
        return None  # another protocol, not a failing service: whoever reads it says so
    if answer.get("error"):
        return spoken(answer)[0]
    data = answer.get(field)
    if not data:
        return f"status 200, but the answer holds no {field or 'list of vectors'}"
    empty = isinstance(data, list) and any(_is_empty(one) for one in data)
    return "status 200, but an embedding is empty" if empty else None


def _is_empty(item: object) -> bool:
    embedding = item.get("embedding", item.get("values")) if isinstance(item, dict) else item
    return embedding is None or (isinstance(embedding, list | str) and not embedding)


def _short(words: str) -> str:
    return words if len(words) <= 120 else f"{words[:117]}..."

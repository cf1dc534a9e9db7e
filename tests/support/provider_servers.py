"""Servers on 127.0.0.1 that behave on the wire as the providers of embeddings do, one for each recipe of the docs.

What each one takes, refuses, limits and answers was read in its documentation and in bug reports of its users; limits
are scaled down. The vectors come from a hashing embedder, another one for queries where the provider has roles.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from vecrollback.embedders import open_embedder
from vecrollback.records.arrays import FloatArray

KEY = "key-0123456789-abcdefghijklmnop"
DIMENSION = 64
MOST_TEXTS, MOST_WORDS = 128, 200
"""What a request and a text may hold, where a provider has such limits."""

_DOCUMENTS, _QUERIES = open_embedder(f"hash:{DIMENSION}?seed=5"), open_embedder(f"hash:{DIMENSION}?seed=6")

Body = Mapping[str, Any]
Refusal = tuple[int, Any]


@dataclass(frozen=True)
class Provider:
    """How one provider behaves.

    Attributes:
        path: Where requests go, as its documentation says.
        key: The header that carries the key, and what stands before the key there; None: it wants none.
        fields: What a request may hold; None: anything.
        texts: The texts of a request.
        answer: The body of an answer: (request, vectors, words).
        role: What a request says about its texts: "document", "query" or "" for nothing.
        roles: Whether it makes other vectors for queries.
        needs_role: The refusal of a request that does not say; None: it is embedded as a document.
        unknown: The refusal of a field that it does not know.
        too_many, too_long: The refusal of too many texts, of a text that is too long; None: no limit, cut in silence.
        busy: A refusal that asks to come back later.
        parameters: What must follow the `?` of the address.
    """

    path: str
    answer: Callable[[Body, FloatArray, int], Any]
    busy: tuple[int, Any, Mapping[str, str]]
    key: tuple[str, str] | None = ("Authorization", "Bearer ")
    fields: frozenset[str] | None = None
    texts: Callable[[Body], list[str]] = lambda body: body["input"]
    role: Callable[[Body], str] = lambda body: ""
    roles: bool = False
    needs_role: Refusal | None = None
    unknown: Callable[[str], Refusal] = lambda name: (400, {"error": {"message": f"Unrecognized argument: {name}"}})
    too_many: Callable[[int], Refusal] | None = None
    too_long: Callable[[int], Refusal] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def _text(row: FloatArray, body: Body) -> Any:
    """One vector in OpenAI's form: decimal, or base64 of the width that vLLM is asked for."""
    if body.get("encoding_format") != "base64":
        return row.tolist()
    if body.get("embed_dtype") == "bfloat16":
        data = (row.astype("<f4").view("<u4") >> 16).astype("<u2")
    else:
        data = row.astype({"float16": "<f2", None: "<f4"}[body.get("embed_dtype")])
    return base64.b64encode(data.tobytes()).decode()


def _openai(body: Body, vectors: FloatArray, words: int) -> Any:
    data = [{"object": "embedding", "index": i, "embedding": _text(v, body)} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}


def _without_zero(body: Body, vectors: FloatArray, words: int) -> Any:
    """Fields of a default value are left out, as protobuf does."""
    answer = _openai(body, vectors, words)
    del answer["data"][0]["index"], answer["usage"]
    return answer


def _always_decimal(body: Body, vectors: FloatArray, words: int) -> Any:
    answer = _openai({**body, "encoding_format": "float"}, vectors, words)
    return answer | {"usage": {"prompt_tokens": 0, "total_tokens": 0}}


def _cohere(_: Body, vectors: FloatArray, words: int) -> Any:
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": words}}
    return {"id": "1", "embeddings": {"float": vectors.tolist()}, "meta": meta, "response_type": "embeddings_by_type"}


def _gemini(_: Body, vectors: FloatArray, words: int) -> Any:
    return {"embeddings": [{"values": row.tolist()} for row in vectors]}


def _ollama(body: Body, vectors: FloatArray, words: int) -> Any:
    times = {"total_duration": 14143917, "load_duration": 1019500}
    return {"model": body["model"], "embeddings": vectors.tolist(), "prompt_eval_count": words} | times


def _gemini_texts(body: Body) -> list[str]:
    return [one["content"]["parts"][0]["text"] for one in body["requests"]]


def _named(field: str, query: str) -> Callable[[Body], str]:
    def role(body: Body) -> str:
        value = body["requests"][0].get(field) if "requests" in body else body.get(field)
        return "" if value is None else "query" if value == query else "document"

    return role


def _message(status: int, message: str, **more: Any) -> Refusal:
    return status, {"error": {"message": message, **more}}


def _google(status: int, message: str, kind: str, **more: Any) -> Refusal:
    return status, {"error": {"code": status, "message": message, "status": kind, **more}}


def _litellm(message: str) -> Refusal:
    return _message(400, message, type="None", param="None", code="400")


def _tei(message: str, status: int) -> Refusal:
    return status, {"message": message, "code": status, "type": "Validation"}


_SLOW = (429, {"error": {"message": "Rate limit reached for requests"}}, {"Retry-After": "1"})
_OPENAI_FIELDS = frozenset({"model", "input", "encoding_format", "dimensions", "user"})

PROVIDERS: Mapping[str, Provider] = {
    "voyage": Provider(
        "/v1/embeddings",
        _openai,
        (429, {"detail": "You have exceeded your rate limit of 3 RPM"}, {}),
        fields=frozenset({"model", "input", "input_type", "truncation", "output_dimension", "output_dtype"}),
        role=_named("input_type", "query"),
        roles=True,
        unknown=lambda name: (400, {"detail": f"Argument '{name}' is not supported by our API"}),
        too_many=lambda n: (400, {"detail": f"The batch size limit is {MOST_TEXTS}. Your batch size is {n}."}),
    ),
    "azure": Provider(
        "/openai/deployments/DEPLOYMENT/embeddings",
        _openai,
        (429, {"error": {"code": "429", "message": "have exceeded call rate limit"}}, {"Retry-After": "2"}),
        key=("api-key", ""),
        fields=_OPENAI_FIELDS,
        too_many=lambda n: _message(400, "Too many inputs. The max number of inputs is 16."),
        too_long=lambda n: _message(400, f"This model's maximum context length is 200 tokens, you requested {n}"),
        parameters={"api-version": "2024-02-01"},
    ),
    "gemini": Provider(
        "/v1beta/models/gemini-embedding-001:batchEmbedContents",
        _gemini,
        (
            *_google(
                429,
                "You exceeded your current quota, please check your plan and billing details.",
                "RESOURCE_EXHAUSTED",
                details=[{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "4s"}],
            ),
            {},
        ),
        key=("x-goog-api-key", ""),
        fields=frozenset({"requests"}),
        texts=_gemini_texts,
        role=_named("taskType", "RETRIEVAL_QUERY"),
        roles=True,
        unknown=lambda name: _google(400, f'Invalid JSON. Unknown name "{name}": Cannot find field.', "INVALID"),
        too_many=lambda n: _google(
            400, "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n", "INVALID_ARGUMENT"
        ),
    ),
    "gemini-openai": Provider(
        "/v1beta/openai/embeddings",
        _without_zero,
        (*_google(429, "Resource has been exhausted", "RESOURCE_EXHAUSTED"), {}),
        fields=frozenset({"model", "input", "dimensions"}),
        too_many=lambda n: _google(
            400, "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n", "INVALID_ARGUMENT"
        ),
    ),
    "cohere": Provider(
        "/v2/embed",
        _cohere,
        (429, {"message": "You are using a Trial key, which is limited to 40 API calls / minute"}, {}),
        fields=frozenset(
            {"model", "texts", "input_type", "embedding_types", "truncate", "output_dimension", "max_tokens"}
        ),
        texts=lambda body: body["texts"],
        role=_named("input_type", "search_query"),
        roles=True,
        needs_role=(400, {"message": "invalid request: valid input_type must be provided with the provided model"}),
        too_many=lambda n: (
            400,
            {"message": f"invalid request: total number of texts must be at most 96, received {n}"},
        ),
        too_long=lambda n: (400, {"message": f"too many tokens: a text of {n} tokens is over the limit"}),
    ),
    "jina": Provider(
        "/v1/embeddings",
        _openai,
        (429, {"detail": "Rate limit exceeded: 100 RPM"}, {}),
        fields=frozenset({"model", "input", "task", "dimensions", "embedding_type", "truncate", "normalized"}),
        role=_named("task", "retrieval.query"),
        roles=True,
        unknown=lambda name: (400, {"detail": f"extra fields not permitted: ['{name}']"}),
        too_many=lambda n: (422, {"detail": "Each input list can contain at most 512 items."}),
        too_long=lambda n: (400, {"detail": f"Input text exceeds maximum length of 8194 tokens: {n}"}),
    ),
    "nvidia": Provider(
        "/v1/embeddings",
        _openai,
        (429, {"status": 429, "title": "Too Many Requests"}, {}),
        fields=_OPENAI_FIELDS | {"input_type", "truncate"},
        role=_named("input_type", "query"),
        roles=True,
        needs_role=(400, {"error": "'input_type' parameter is required"}),
        too_long=lambda n: (400, {"error": f"Input length {n} exceeds maximum allowed token size 200"}),
    ),
    "vertex": Provider(
        "/v1/embeddings",
        _openai,
        (
            *_message(429, "litellm.RateLimitError: VertexAIException - Resource exhausted. Please try again later."),
            {},
        ),
        fields=frozenset({"model", "input", "task_type", "dimensions"}),
        role=_named("task_type", "RETRIEVAL_QUERY"),
        roles=True,
        unknown=lambda name: _litellm(
            f"litellm.UnsupportedParamsError: vertex_ai does not support parameters: {{'{name}': 'float'}}"
        ),
        too_many=lambda n: _litellm(f"VertexAIException: 250 instance(s) is allowed per prediction. Actual: {n}"),
        too_long=lambda n: _litellm(f"the input token count is {n} but the model supports up to 2048."),
    ),
    "tei": Provider(
        "/embed",
        lambda body, vectors, words: vectors.tolist(),
        (429, {"error": "Model is overloaded", "error_type": "Overloaded"}, {}),
        key=None,
        fields=frozenset({"inputs", "truncate", "truncation_direction", "normalize", "prompt_name", "dimensions"}),
        texts=lambda body: body["inputs"],
        too_many=lambda n: (
            422,
            {"error": f"batch size {n} > maximum allowed batch size 32", "error_type": "Validation"},
        ),
        too_long=lambda n: (
            413,
            {
                "error": f"Input validation error: `inputs` must have less than 512 tokens. Given: {n}",
                "error_type": "Validation",
            },
        ),
    ),
    "tei-openai": Provider(
        "/v1/embeddings",
        _openai,
        (429, {"message": "Model is overloaded", "code": 429, "type": "Overloaded"}, {}),
        key=None,
        too_many=lambda n: _tei(f"batch size {n} > maximum allowed batch size 32", 422),
        too_long=lambda n: _tei(f"Input validation error: `inputs` must have less than 512 tokens. Given: {n}", 413),
    ),
    "vllm": Provider(
        "/v1/embeddings",
        _openai,
        (503, {"object": "error", "message": "The server is overloaded", "code": 503}, {}),
        key=None,
        fields=_OPENAI_FIELDS | {"truncate_prompt_tokens", "embed_dtype"},
        too_long=lambda n: (
            400,
            {
                "object": "error",
                "message": f"This model's maximum context length is 512 tokens. However, you requested {n} tokens in "
                "the input for embedding generation. Please reduce the length of the input.",
                "type": "BadRequestError",
                "code": 400,
            },
        ),
    ),
    "llamacpp": Provider(
        "/v1/embeddings",
        _openai,
        (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, {}),
        key=None,
        too_long=lambda n: _message(
            500,
            f"input ({n} tokens) is too large to process. increase the physical batch size (current batch size: 512)",
            code=500,
            type="server_error",
        ),
    ),
    "ollama": Provider(
        "/api/embed",
        _ollama,
        (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, {}),
        key=None,
        texts=lambda body: body["input"],
        too_long=lambda n: (400, {"error": "the input length exceeds the context length"}),
    ),
    "ollama-openai": Provider(
        "/v1/embeddings",
        _openai,
        (503, {"error": {"message": "server busy, please try again", "type": "api_error"}}, {}),
        key=None,
        too_long=lambda n: _message(400, "the input length exceeds the context length", type="invalid_request_error"),
    ),
    "lmstudio": Provider("/v1/embeddings", _always_decimal, _SLOW, key=None),
}
"""By the name of the recipe in docs/how-to/services.md."""


class ProviderServer:
    """One provider, as a context manager. `requests` holds what was asked, `busy` how often it first says to wait."""

    def __init__(self, name: str) -> None:
        self.provider = PROVIDERS[name]
        self.requests: list[Body] = []
        self.busy = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def vectors(self, texts: list[str], *, query: bool = False) -> FloatArray:
        """What texts get here."""
        model = _QUERIES if query and self.provider.roles else _DOCUMENTS
        return model.embed_documents([" ".join(text.split()[:MOST_WORDS]) for text in texts])

    def answer(self, request: Body, headers: Mapping[str, str], path: str) -> tuple[int, Any, Mapping[str, str]]:
        """Status, body and headers for one request."""
        provider, address = self.provider, urlsplit(path)
        if address.path != provider.path or dict(parse_qsl(address.query)) != provider.parameters:
            return 404, {"error": {"code": "404", "message": "Resource not found"}}, {}
        if provider.key and headers.get(provider.key[0]) != provider.key[1] + KEY:
            return 401, {"error": {"message": f"wrong key: {headers.get(provider.key[0])}"}}, {}
        if self.busy:
            self.busy -= 1
            return provider.busy
        status, body = self._embed(request)
        return status, body, {}

    def _embed(self, request: Body) -> Refusal:
        provider, texts = self.provider, self.provider.texts(request)
        lengths = [len(text.split()) for text in texts]
        for name in request if provider.fields is not None else ():
            if name not in (provider.fields or ()):
                return provider.unknown(name)
        role = provider.role(request)
        if provider.needs_role and not role:
            return provider.needs_role
        if provider.too_many and len(texts) > MOST_TEXTS:
            return provider.too_many(len(texts))
        if provider.too_long and max(lengths) > MOST_WORDS:
            return provider.too_long(max(lengths))
        vectors = self.vectors(texts, query=role == "query")
        return 200, provider.answer(request, np.asarray(vectors), sum(lengths))

    def __enter__(self) -> ProviderServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(server: ProviderServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or what follows the headers waits 40 ms for their acknowledgement

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append(request)
            status, body, headers = server.answer(request, self.headers, self.path)
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler

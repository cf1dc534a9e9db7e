"""What a server tells of the model that it runs: a digest, a revision, a version.

It is evidence and never proof: a server can be restarted with other weights and tell the same, and tell something else
of the same weights after an upgrade. So a change of it gives cause to prove the model at once, and nothing more.

Where it is told: text-embeddings-inference at `/info`, Ollama at `/api/tags`, vLLM, LM Studio and llama.cpp in the list
of models at `/models`; in headers of answers that name a model, and in the field `model` of the answer itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_INFO = ("model_id", "model_sha", "model_dtype", "version", "sha", "docker_label")
_CARD = ("id", "root", "parent", "max_model_len", "owned_by", "meta", "quantization", "publisher")
"""Of a model in `/models`. `created` is not of it: vLLM tells the moment of the question there."""

_PASSING = ("time", "latency", "limit", "remaining", "tokens", "request", "duration")
"""Words in names of headers whose values differ from answer to answer."""

_MOST_SHOWN = 200

Look = Callable[[str], Any]
"""Reads an address; None where there is nothing to read."""


def words_of(base_url: str, model: str, look: Look) -> dict[str, str]:
    """What the server tells of this model when it is asked; empty where it tells nothing."""
    root = base_url.removesuffix("/").removesuffix("/v1")
    info = look(f"{root}/info")
    if isinstance(info, Mapping) and info.get("model_id"):
        return _texts("info", info, _INFO)
    for one in _listed(look(f"{root}/api/tags"), "models"):
        if one.get("name") in (model, f"{model}:latest") and one.get("digest"):
            return _texts("tags", one, ("digest",))
    for one in _listed(look(f"{base_url}/models"), "data"):
        if one.get("id") == model:
            return _texts("models", one, _CARD)
    return {}


def words_in(headers: Mapping[str, str], answer: Any) -> dict[str, str]:
    """What an answer tells beside its vectors."""
    named = {
        f"header {name.lower()}": value[:_MOST_SHOWN]
        for name, value in headers.items()
        if "model" in name.lower() and not any(word in name.lower() for word in _PASSING)
    }
    model = answer.get("model") if isinstance(answer, Mapping) else None
    return named | ({"answer model": model[:_MOST_SHOWN]} if isinstance(model, str) else {})


def differences(before: Mapping[str, str], words: Mapping[str, str]) -> str:
    """What is told otherwise than before, in words; what is not told any more, or was not told before, is no change."""
    changed = [name for name in sorted(before) if name in words and words[name] != before[name]]
    return "; ".join(f"{name} {words[name]} in place of {before[name]}" for name in changed)


def _listed(answer: Any, field: str) -> list[Mapping[str, Any]]:
    rows = answer.get(field) if isinstance(answer, Mapping) else None
    return [one for one in rows if isinstance(one, Mapping)] if isinstance(rows, list) else []


def _texts(where: str, facts: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    return {f"{where} {name}": str(facts[name])[:_MOST_SHOWN] for name in names if facts.get(name) not in (None, "")}

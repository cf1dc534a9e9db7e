"""Embedders that other frameworks have: `langchain:PROVIDER:MODEL`, `llama-index:...`, `haystack:...`.

PROVIDER is the name of the framework's own package for it, such as `ollama`, or a class by its dotted name. `param.X=`
gives the class an argument X. A model that is set up for a framework needs no second description.

    langchain:huggingface:/models/minilm                 langchain_huggingface.HuggingFaceEmbeddings(model=...)
    llama-index:ollama:nomic-embed-text                  llama_index.embeddings.ollama.OllamaEmbedding(model_name=...)
    haystack:openai:text-embedding-3-small?param.dimensions=256
    langchain:my_package.embeddings.Embedder:?param.size=64
"""

from __future__ import annotations

import importlib
import inspect
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.embedders.base import Traits, traits_of
from vecrollback.embedders.common import Role, Shape, SharedEmbedder, prefixed, read_shape
from vecrollback.embedders.model_files import digest_files
from vecrollback.embedders.spec import Arguments, Spec
from vecrollback.errors import EmbedderSpecError, EmbeddingError, TextRefusedError
from vecrollback.records import Json
from vecrollback.records.arrays import FloatArray

Embed = Callable[[list[str]], Any]
"""Texts to rows."""

_MODEL_NAMES = ("model", "model_name", "model_id")
"""What the classes call their model."""


def open_langchain(spec: Spec) -> FrameworkEmbedder:
    """Open `langchain:PROVIDER:MODEL`."""
    return FrameworkEmbedder(spec, ("langchain_{}",), "Embeddings", _langchain)


def open_llama_index(spec: Spec) -> FrameworkEmbedder:
    """Open `llama-index:PROVIDER:MODEL`."""
    return FrameworkEmbedder(spec, ("llama_index.embeddings.{}",), "Embedding", _llama_index)


def open_haystack(spec: Spec) -> FrameworkEmbedder:
    """Open `haystack:PROVIDER:MODEL`: the embedder of texts for queries, that of documents for documents."""
    places = ("haystack_integrations.components.embedders.{}", "haystack.components.embedders.{}_text_embedder")
    return FrameworkEmbedder(spec, places, "TextEmbedder", _haystack)


class FrameworkEmbedder(SharedEmbedder):
    """A framework's embedder behind the embedder string. Calls from several threads are served one after the other.

    Args:
        spec: `KIND:PROVIDER:MODEL?...`.
        places: Modules in which the provider's class may be, with `{}` for the provider.
        suffix: How the class's name ends.
        sides: From the class and its arguments, the object itself and how it embeds documents and queries.
    """

    def __init__(
        self,
        spec: Spec,
        places: Sequence[str],
        suffix: str,
        sides: Callable[[type, Mapping[str, Json]], tuple[object, Embed, Embed]],
    ) -> None:
        provider, colon, model = spec.target.partition(":")
        if not provider or not colon:
            raise EmbedderSpecError(
                f"{spec.kind}:{spec.target} has no provider and model", hint=f"write {spec.kind}:PROVIDER:MODEL"
            )
        folder = Path(model).expanduser() if model else None
        if folder is not None and folder.is_dir():  # another process may be started elsewhere
            model = str(folder.resolve())
            _, mark, query = spec.text.partition("?")
            spec = replace(spec, text=f"{spec.kind}:{provider}:{model}{mark}{query}", target=f"{provider}:{model}")
        self._provider, self._model_name, self._sides = provider, model, sides
        self._parameters = {name: _parameter(value) for name, value in spec.arguments.group("param").items()}
        self._generation = spec.arguments.text("generation", "")
        self._said = _said(spec.arguments)
        super().__init__(spec, _shape(spec))
        self._class = _class(spec.kind, provider, [place.format(provider) for place in places], suffix)
        self._lock = threading.RLock()
        self._opened: tuple[object, Embed, Embed] | None = None

    @property
    def traits(self) -> Traits:
        """What the object shows of itself: one that knows an address or a key is a service. Arguments say it better."""
        shown = traits_of(self._object()[0])
        return replace(shown, **self._said) if self._said else shown

    @cached_property
    def dimension(self) -> int:
        return int(self._call(["dimension"], "document").shape[1])

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Words: a framework's embedder does not say how it splits a text."""
        return sum(len(text.split()) for text in texts)

    def close(self) -> None:
        """Let go of the object. The next call makes it again."""
        with self._lock:
            self._opened = None

    def _identity(self) -> dict[str, Json]:
        # Not the package's version, which changes every week: what it does is proven by the probes.
        model: dict[str, Json] = {"model": self._model_name}
        if Path(self._model_name).is_absolute():
            model = {"files": digest_files(Path(self._model_name))}
        return {
            "class": f"{self._class.__module__}.{self._class.__qualname__}",
            "parameters": dict(self._parameters),
            "generation": self._generation,
            **model,
        }

    def _object(self) -> tuple[object, Embed, Embed]:
        with self._lock:
            if self._opened is None:
                arguments = dict(self._parameters)
                if self._model_name:
                    arguments = {_model_argument(self._class): self._model_name, **arguments}
                try:
                    self._opened = self._sides(self._class, arguments)
                except Exception as error:  # whatever its constructor makes of a missing package or key
                    raise EmbeddingError(
                        f"{self._class.__name__} cannot be made: {type(error).__name__}: {error}",
                        hint="arguments of the class are written param.NAME=VALUE; keys come from the environment",
                    ) from error
            return self._opened

    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        return self._call(prefixed(texts, self._shape.prompt(role)), role)

    def _call(self, texts: list[str], role: Role) -> FloatArray:
        with self._lock:
            _, documents, queries = self._object()
            try:
                vectors = np.array((documents if role == "document" else queries)(texts), dtype=np.float32)
            except Exception as error:
                raise TextRefusedError(  # one of them may be too long
                    f"{self._class.__name__} failed on {len(texts)} texts: {type(error).__name__}: {error}",
                    hint="call it by hand on one text",
                ) from error
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise EmbeddingError(f"{self._class.__name__} gave {vectors.shape} numbers for {len(texts)} texts")
        return vectors


def _shape(spec: Spec) -> Shape:
    shape = read_shape(spec.arguments)
    spec.arguments.refuse_unknown(spec.kind)
    return shape


def _said(arguments: Arguments) -> dict[str, Any]:
    """Traits that the string names."""
    said: dict[str, Any] = {
        "remote": arguments.flag("remote", None),
        "priced": arguments.flag("priced", None),
        "price": arguments.number("price", None),
        "probe_floor": arguments.number("probe_floor", None),
    }
    given = {name: value for name, value in said.items() if value is not None}
    return {"priced": True, **given} if "price" in given else given


def _parameter(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value


def _class(kind: str, provider: str, places: Sequence[str], suffix: str) -> type:
    """The provider's class: by its dotted name, or the one in the provider's module whose name ends so."""
    if "." in provider:
        module_name, _, name = provider.rpartition(".")
        try:
            found = getattr(importlib.import_module(module_name), name)
        except (ImportError, AttributeError) as error:
            raise EmbedderSpecError(f"cannot import {provider}: {error}", hint="install the package") from error
        if not inspect.isclass(found):
            raise EmbedderSpecError(f"{provider} is not a class", hint="name the class of the embedder")
        return found
    trouble: ImportError | None = None
    for place in places:
        try:
            module = importlib.import_module(place)
        except ImportError as error:
            trouble = error
            continue
        names = [name for name in getattr(module, "__all__", dir(module)) if name.endswith(suffix)]
        classes = [one for name in names if inspect.isclass(one := getattr(module, name)) and name != suffix]
        own = [one for one in classes if one.__module__.startswith(place)]
        if len(own) != 1:
            raise EmbedderSpecError(
                f"{place} has {len(own)} classes of embedders: {', '.join(sorted(one.__name__ for one in own))}",
                hint=f"name the one that is meant: {kind}:{place}.CLASS:MODEL",
            )
        return own[0]
    raise EmbedderSpecError(
        f"{kind} has no provider {provider!r} here: {trouble}",
        hint=f"install its package for {provider}, or name a class: {kind}:package.module.CLASS:MODEL",
    )


def _model_argument(found: type) -> str:
    fields = getattr(found, "model_fields", {})  # pydantic's, with its aliases
    names = {*fields, *(field.alias for field in fields.values() if getattr(field, "alias", None))}
    names |= set(inspect.signature(found).parameters)
    return next((name for name in _MODEL_NAMES if name in names), _MODEL_NAMES[0])


def _langchain(found: type, arguments: Mapping[str, Json]) -> tuple[object, Embed, Embed]:
    model: Any = found(**arguments)
    return model, model.embed_documents, lambda texts: [model.embed_query(text) for text in texts]


def _llama_index(found: type, arguments: Mapping[str, Json]) -> tuple[object, Embed, Embed]:
    model: Any = found(**arguments)
    return model, model.get_text_embedding_batch, lambda texts: [model.get_query_embedding(text) for text in texts]


def _haystack(found: type, arguments: Mapping[str, Json]) -> tuple[object, Embed, Embed]:
    from haystack import Document as HaystackDocument

    place = importlib.import_module(found.__module__.replace("text_embedder", "document_embedder"))
    queries: Any = found(**arguments)
    documents: Any = getattr(place, found.__name__.replace("TextEmbedder", "DocumentEmbedder"))(**arguments)
    for one in (queries, documents):
        if warm_up := getattr(one, "warm_up", None):
            warm_up()

    def embed(texts: list[str]) -> list[Any]:
        result = documents.run(documents=[HaystackDocument(content=text) for text in texts])
        return [one.embedding for one in result["documents"]]

    return queries, embed, lambda texts: [queries.run(text=text)["embedding"] for text in texts]

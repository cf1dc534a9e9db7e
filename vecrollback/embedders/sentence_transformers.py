"""Models in the format of sentence-transformers: a directory, or a name on the Hugging Face hub.

Opening one reads configuration and digests only. torch is imported by the first call that needs the weights;
chunking and counting tokens use the tokenizer alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.embedders.backends import Backend, accelerate, check_name
from vecrollback.embedders.base import FloatArray
from vecrollback.embedders.chunking import Chunker
from vecrollback.embedders.hf_tokenizer import HfTokenizer
from vecrollback.embedders.model_files import POOLING_MODES, ModelFacts, digest_files, locate, read_facts
from vecrollback.embedders.shared import RecentTokens, Role, Shape, SharedEmbedder, read_shape
from vecrollback.embedders.spec import Arguments, Spec
from vecrollback.errors import EmbedderSpecError, EmbeddingError, UsageError
from vecrollback.records import Json

_PRECISIONS = ("float32", "bfloat16", "float16")
_CPU_BATCH, _DEVICE_BATCH = 16, 128
"""Small batches pad less; an accelerator needs large ones to be busy."""

_HUGE = 50_000
"""Characters from which tokenising all of a text costs as much as embedding its beginning."""


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of this kind. All but `device` and `batch_size` shape vectors."""

    pooling: str | None
    max_length: int | None
    truncate_dim: int | None
    precision: str
    device: str | None
    batch_size: int | None


def open_sentence_transformers(spec: Spec) -> SentenceTransformersEmbedder:
    """Open a directory or a hub name."""
    arguments = spec.arguments
    root = locate(spec, arguments.text("revision", None))
    facts = read_facts(root)
    _refuse_backend(arguments)
    options = _read_options(arguments, facts)
    shape = read_shape(arguments, query_prompt=facts.query_prompt, document_prompt=facts.document_prompt)
    arguments.refuse_unknown("sentence-transformers")
    # A relative path would name another directory for a process that was started elsewhere.
    local = Path(spec.target).expanduser().is_dir()
    return SentenceTransformersEmbedder(spec.at(root) if local else spec, shape, root, facts, options)


class SentenceTransformersEmbedder(SharedEmbedder):
    """One model and its settings. Calls from several threads are served one after the other."""

    def __init__(self, spec: Spec, shape: Shape, root: Path, facts: ModelFacts, options: Options) -> None:
        super().__init__(spec, shape)
        self._root = root
        self._facts = facts
        self._options = options
        self._lock = threading.RLock()
        self._model: Any = None
        self._read: list[Any] = []
        self._recent = RecentTokens()
        self._backend: Backend | None = None
        self._converted: dict[str, Any] = {}
        self._others: dict[Backend, SentenceTransformersEmbedder] = {}

    def accelerated(self, backend: Backend) -> SentenceTransformersEmbedder:
        """The same model in another runtime, on this machine's processor. Whether it is: ask the probes.

        One object for each backend, which the closing of this one closes too. Raises UsageError for a name of no
        backend, and for a model that is not in float32 on the processor.
        """
        if backend in self._others:
            return self._others[backend]
        check_name(backend.name)
        if self._options.precision != "float32" or self._options.device not in (None, "cpu"):
            raise UsageError("only models in float32 on the processor have other backends", hint="--accelerate off")
        options = replace(self._options, device="cpu", batch_size=backend.batch_size)
        other = SentenceTransformersEmbedder(self._spec, self._shape, self._root, self._facts, options)
        other._backend, other._converted = backend, self._converted
        other.__dict__["contract"] = self.contract  # what it is does not depend on where it runs
        self._others[backend] = other
        return other

    @cached_property
    def dimension(self) -> int:
        facts, options = self._facts, self._options
        known = facts.dimension
        if options.pooling not in (None, facts.pooling) and facts.dimension != facts.width:
            known = None
        if known is None:
            with self._lock:
                known = len(self._loaded().encode("dimension"))
        return min(known, options.truncate_dim or known)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens that are read: special tokens and the prompt included, what is cut off left out."""
        known = self._recent.recall(texts)
        if known is not None:
            return known
        return self._hf_tokenizer.count(texts, self._shape.document_prompt, self._options.max_length)

    def close(self) -> None:
        """Let go of the weights. The next call that needs them loads them again."""
        with self._lock:
            self._model = None
            if self._backend is None:  # else it is shared with the one that this was made from
                self._converted.clear()
        for other in self._others.values():
            other.close()

    def _identity(self) -> dict[str, Json]:
        options = self._options
        return {
            "files": digest_files(self._root),
            "pooling": options.pooling,
            "max_length": options.max_length,
            "truncate_dim": options.truncate_dim,
            "precision": options.precision,
            "backend": "torch",
        }

    @cached_property
    def _hf_tokenizer(self) -> HfTokenizer:
        return HfTokenizer(self._facts.first)

    def _tokenizer(self) -> HfTokenizer:
        return self._hf_tokenizer

    def _make_chunker(self) -> Chunker:
        rule, limit = self._shape.chunk, self._options.max_length
        if rule.method != "none" and limit is not None:
            room = limit - self._hf_tokenizer.count([""], self._shape.document_prompt, None)
            if rule.size > room:
                raise EmbedderSpecError(
                    f"chunk={rule}: the model reads {limit} tokens, of which {room} are left for a passage; "
                    "the end of every full passage would be cut off",
                    hint=f"use a size of at most {room}",
                )
        return super()._make_chunker()

    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        with self._lock:
            model = self._loaded()
            encode = model.encode_query if role == "query" else model.encode_document
            self._read.clear()
            try:
                found = encode(
                    self._clipped(texts),
                    prompt=self._shape.prompt(role),
                    batch_size=self._options.batch_size or _batch_size(model.device.type),
                    show_progress_bar=False,
                    convert_to_tensor=True,
                )
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise _failed(error, self.spec, len(texts)) from error
            if role == "document" and self._read:
                self._recent.remember(texts, int(sum(self._read)))
        # Unit length is a matter of the last bits: it is made in float32 whatever the weights are.
        return np.ascontiguousarray(found.float().cpu().numpy())

    def _clipped(self, texts: Sequence[str]) -> list[str]:
        limit = self._options.max_length
        if limit is None or self._facts.truncates_left:
            return list(texts)
        return [text if len(text) <= _HUGE else self._hf_tokenizer.clip(text, limit) for text in texts]

    def _loaded(self) -> Any:
        if self._model is None:
            model = _load(self._root, self._options, self._facts)
            if self._backend is not None:
                accelerate(model, self._backend, self._converted)
            model[0].register_forward_pre_hook(self._note_tokens)
            self._model = model
        return self._model

    def _note_tokens(self, _: Any, inputs: tuple[Any, ...]) -> None:
        """Keep the number of tokens of one batch, as a tensor where it is: asking for it would wait for the device."""
        features = inputs[0] if inputs else {}
        if "attention_mask" in features:
            self._read.append(features["attention_mask"].sum())


def _refuse_backend(arguments: Arguments) -> None:
    backend = arguments.text("backend", "torch")
    if backend != "torch":
        raise EmbedderSpecError(
            f"backend={backend} is not supported",
            hint="leave backend out: models run in torch; another runtime fits behind package.module:callable",
        )


def _read_options(arguments: Arguments, facts: ModelFacts) -> Options:
    max_length = arguments.integer("max_length", None)
    if max_length is not None and facts.limit is not None and max_length > facts.limit:
        raise EmbedderSpecError(
            f"max_length={max_length}: the model has {facts.limit} positions", hint=f"at most {facts.limit}"
        )
    truncate_dim = arguments.integer("truncate_dim", None)
    if truncate_dim is not None and facts.dimension is not None and truncate_dim > facts.dimension:
        raise EmbedderSpecError(
            f"truncate_dim={truncate_dim}: the model's vectors have {facts.dimension} dimensions",
            hint=f"at most {facts.dimension}",
        )
    return Options(
        pooling=arguments.choice("pooling", POOLING_MODES, facts.pooling),
        max_length=max_length or facts.max_length,
        truncate_dim=None if truncate_dim == facts.dimension else truncate_dim,
        precision=arguments.choice("precision", _PRECISIONS, "float32"),
        device=arguments.text("device", None),
        batch_size=arguments.integer("batch_size", None),
    )


def _load(root: Path, options: Options, facts: ModelFacts) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    try:
        with _quiet():
            model = SentenceTransformer(
                str(root),
                device=options.device,
                local_files_only=True,
                truncate_dim=options.truncate_dim,
                # Given even when it is float32: left alone, the library takes whatever the weights were saved in.
                model_kwargs={"dtype": getattr(torch, options.precision)},
            )
    except Exception as error:
        raise EmbeddingError(
            f"the model in {root} cannot be loaded: {type(error).__name__}: {error}",
            hint="check that SentenceTransformer(DIRECTORY) loads it in this environment",
        ) from error
    if options.max_length is not None:
        model.max_seq_length = options.max_length
    if options.pooling is not None and options.pooling != facts.pooling:
        _set_pooling(model, options.pooling)
    return model


def _set_pooling(model: Any, mode: str) -> None:
    from sentence_transformers.models import Pooling

    for position, module in enumerate(model):
        if isinstance(module, Pooling):
            config = module.get_config_dict()
            width = config.get("embedding_dimension") or config["word_embedding_dimension"]  # renamed in 6.0
            model[position] = Pooling(width, pooling_mode=mode, include_prompt=module.include_prompt)
            return
    raise EmbedderSpecError(f"pooling={mode}: the model has no pooling to replace", hint="leave pooling= out")


def _batch_size(device: str) -> int:
    return _CPU_BATCH if device == "cpu" else _DEVICE_BATCH


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the progress bar and load report of transformers off the terminal while a model loads."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _failed(error: Exception, spec: str, count: int) -> EmbeddingError:
    memory = "out of memory" in str(error).lower()
    hint = "lower batch_size=" if memory else "embed these texts one by one to find the one that fails"
    return EmbeddingError(f"{spec} failed on {count} texts: {type(error).__name__}: {error}", hint=hint)

"""Models in the format of sentence-transformers: a directory, or a name on the Hugging Face hub.

Opening one reads configuration and digests only. torch is imported by the first call that needs the weights;
chunking and counting tokens use the tokenizer alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.embedders.base import COARSE_FLOOR, FLOOR, Traits
from vecrollback.embedders.batching import batches, encode
from vecrollback.embedders.chunking import Chunker
from vecrollback.embedders.common import RecentTokens, Role, Shape, SharedEmbedder, read_shape
from vecrollback.embedders.companions import BASE, Companion, find_companions, loadable
from vecrollback.embedders.hf_tokenizer import HfTokenizer
from vecrollback.embedders.hub import commit_of, pinned
from vecrollback.embedders.model_files import (
    POOLING_MODES,
    ModelFacts,
    digest_files,
    foreign_modules,
    locate,
    read_facts,
    shaping_files,
)
from vecrollback.embedders.models_in_memory import SharedModel, shared_model
from vecrollback.embedders.peak_throughput import Workload, matmul_rate, work_of
from vecrollback.embedders.runtimes import Runtime, accelerate, check_name
from vecrollback.embedders.spec import Arguments, Spec
from vecrollback.errors import EmbedderSpecError, EmbeddingError, TextRefusedError, UsageError
from vecrollback.records import Json
from vecrollback.records.arrays import FloatArray
from vecrollback.storage.steps import step

_PRECISIONS = ("float32", "bfloat16", "float16")
_CPU_TOKENS, _DEVICE_TOKENS = 1_024, 65_536
"""Tokens of a batch, padding included. What fits into a processor's cache is fast there; an accelerator needs large
batches to be busy."""

_WORTH_TIMING = 8_192
"""Tokens from which half a second for measuring the machine is little beside embedding them."""

_OTHER_BATCH = 128
"""Texts at a time for models without a transformer: looking vectors up needs no budget."""

_HUGE = 50_000
"""Characters from which tokenising all of a text costs as much as embedding its beginning."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The arguments of this kind. All but `device` and `batch_size` shape vectors."""

    pooling: str | None
    max_length: int | None
    truncate_dim: int | None
    precision: str
    device: str | None
    batch_size: int | None
    trusted: bool = False


def open_sentence_transformers(spec: Spec) -> SentenceTransformersEmbedder:
    """Open a directory or a hub name."""
    arguments = spec.arguments
    root = locate(spec, arguments.text("revision", None))
    trusted = arguments.flag("trust_remote_code", False)
    if (foreign := foreign_modules(root)) and not trusted:
        raise EmbedderSpecError(
            f"{spec.target} has modules of its own ({', '.join(foreign[:2])}): opening it runs code that comes with it",
            hint="read that code, then add trust_remote_code=true to the embedder",
        )
    companions = find_companions(root, trusted=trusted)
    base = next((one.root for one in companions if one.prefix == BASE), None)
    facts = read_facts(root, base)
    _refuse_backend(arguments)
    options = _read_options(arguments, facts)
    shape = read_shape(arguments, query_prompt=facts.query_prompt, document_prompt=facts.document_prompt)
    arguments.refuse_unknown("sentence-transformers")
    # A relative path would name another directory for a process that was started elsewhere, and a name on the hub
    # another commit tomorrow.
    local = Path(spec.target).expanduser().is_dir()
    spec = spec.at(root) if local else pinned(spec, root)
    return SentenceTransformersEmbedder(spec, shape, root, facts, options, companions)


class SentenceTransformersEmbedder(SharedEmbedder):
    """One model and its settings. Calls from several threads are served one after the other."""

    def __init__(
        self,
        spec: Spec,
        shape: Shape,
        root: Path,
        facts: ModelFacts,
        options: ModelOptions,
        companions: tuple[Companion, ...] = (),
    ) -> None:
        super().__init__(spec, shape)
        self._companions = companions
        self._root = root
        self._facts = facts
        self._options = options
        self._model: Any = None
        self._digested: list[tuple[str, int, int]] | None = None
        self._work: Workload | None = None
        self._recent, self._squares = RecentTokens(), RecentTokens()
        self._runtime: Runtime | None = None
        self._converted: dict[str, Any] = {}
        self._others: dict[Runtime, SentenceTransformersEmbedder] = {}

    def accelerated(self, runtime: Runtime) -> SentenceTransformersEmbedder:
        """The same model in another runtime, on this machine's processor. The probes say whether its vectors agree.

        One object for each runtime, which the closing of this one closes too. Raises UsageError for a name that is
        not a runtime, and for a model that is not in float32 on the processor.
        """
        if runtime in self._others:
            return self._others[runtime]
        check_name(runtime.name)
        if self._options.precision != "float32" or self._options.device not in (None, "cpu") or self._on_device():
            raise UsageError("only models in float32 on the processor have other runtimes", hint="--accelerate off")
        options = replace(self._options, device="cpu", batch_size=None)
        other = SentenceTransformersEmbedder(
            self._spec, self._shape, self._root, self._facts, options, self._companions
        )
        other._runtime, other._converted = runtime, self._converted
        other.__dict__["contract"] = self.contract  # what it is does not depend on where it runs
        self._others[runtime] = other
        return other

    @property
    def traits(self) -> Traits:
        # bfloat16 rounds differently at another batch size, which no other precision does visibly.
        return Traits(probe_floor=COARSE_FLOOR if self._options.precision == "bfloat16" else FLOOR)

    @property
    def device(self) -> str | None:
        """The device that the string names, if it names one."""
        return self._options.device

    @cached_property
    def dimension(self) -> int:
        facts, options = self._facts, self._options
        width = facts.dimension
        if options.pooling not in (None, facts.pooling) and facts.dimension != facts.width:
            width = None
        if width is None:
            with self._opened() as model:
                width = len(model.encode("dimension"))
        return min(width, options.truncate_dim or width)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens that are read: special tokens and the prompt included, what is cut off left out."""
        total = self._recent.recall(texts)
        if total is not None:
            return total
        return sum(self._hf_tokenizer.lengths(texts, self._shape.document_prompt, self._options.max_length))

    def count_cut(self, texts: Sequence[str]) -> int:
        """Chunks with more tokens than the model reads."""
        limit, prompt = self._options.max_length, self._shape.document_prompt
        if limit is None:
            return 0
        # Hardly any text has more tokens than bytes: short chunks need not be tokenised once more.
        long = [text for text in texts if len((prompt + text).encode("utf-8", "replace")) > limit // 2]
        clipped = [self._hf_tokenizer.clip(text, limit) for text in long]
        return sum(length > limit for length in self._hf_tokenizer.lengths(clipped, prompt, None))

    def ideal_seconds(self, texts: Sequence[str]) -> float | None:
        """Seconds that the model's arithmetic over chunks embedded a moment ago takes at this machine's best rate.

        None where that cannot be told. The first call over many chunks measures the rate, in half a second.
        """
        tokens, squares = self._recent.recall(texts), self._squares.recall(texts)
        if tokens is None or squares is None:
            return None
        with self._opened() as model:
            self._work = work = self._work or work_of(model[0].auto_model)
        rate = self._rate(model, measure=tokens >= _WORTH_TIMING) if work.weights else None
        return work.operations(tokens, squares) / rate if rate else None

    def model_files(self) -> dict[str, Path]:
        """The files that shape its vectors, also those from elsewhere, by the name under which they are kept."""
        own = {path.relative_to(self._root).as_posix(): path for path in shaping_files(self._root)}
        return own | self._files_from_elsewhere()

    def _files_from_elsewhere(self) -> dict[str, Path]:
        return {name: path for companion in self._companions for name, path in companion.files().items()}

    @property
    def immutable_files(self) -> bool:
        """Whether nobody writes into these files: a cache of the hub replaces and removes, it never overwrites."""
        roots = (self._root, *(companion.root for companion in self._companions))
        return all(commit_of(root) is not None for root in roots)

    def close(self) -> None:
        """Let go of the weights. The next call that needs them loads them again."""
        shared = self.__dict__.pop("_shared", None)
        with shared.lock if shared else nullcontext():
            self._model = None
            if self._runtime is None:  # else it is shared with the one that this was made from
                self._converted.clear()
        for other in self._others.values():
            other.close()

    def _identity(self) -> dict[str, Json]:
        options, self._digested = self._options, self._stamps()
        return {
            "files": digest_files(self._root, self._files_from_elsewhere()),
            "pooling": options.pooling,
            "max_length": options.max_length,
            "truncate_dim": options.truncate_dim,
            "precision": options.precision,
            "backend": "torch",  # a key of stored contracts: another name would be another fingerprint
            # Only where it is so: contracts from before had no such key.
            **({"trust_remote_code": True} if options.trusted else {}),
        }

    @cached_property
    def _hf_tokenizer(self) -> HfTokenizer:
        return HfTokenizer(self._facts.first)

    def _tokenizer(self) -> HfTokenizer:
        return self._hf_tokenizer

    def _make_chunker(self) -> Chunker:
        rule, limit = self._shape.chunk, self._options.max_length
        if rule.method != "none" and limit is not None:
            room = limit - self._hf_tokenizer.lengths([""], self._shape.document_prompt, None)[0]
            if rule.size > room:
                raise EmbedderSpecError(
                    f"chunk={rule}: the model reads {limit} tokens, of which {room} are left for a chunk; "
                    "the end of every full chunk would be cut off",
                    hint=f"use a size of at most {room}",
                )
        return super()._make_chunker()

    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        with self._opened() as model:
            try:
                tensor = self._encode(model, texts, role)
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise _embedding_error(error, self.spec, len(texts)) from error
        # Unit length is a matter of the last bits: it is made in float32 whatever the weights are.
        return np.ascontiguousarray(tensor.float().cpu().numpy())

    def _encode(self, model: Any, texts: Sequence[str], role: Role) -> Any:
        prompt, options = self._shape.prompt(role), self._options
        clipped = self._clip(texts)
        alone = role == "query" and len(texts) == 1
        if alone or not hasattr(model[0], "auto_model"):
            ask = model.encode_query if role == "query" else model.encode_document
            size = options.batch_size or _OTHER_BATCH
            return ask(clipped, prompt=prompt, batch_size=size, show_progress_bar=False, convert_to_tensor=True)
        lengths = self._hf_tokenizer.lengths(clipped, prompt, options.max_length)
        groups = batches(lengths, self._batch_tokens(model.device.type), options.batch_size)
        vectors = encode(model, clipped, groups, prompt=prompt, task=role)
        if role == "document":
            # The job asks for the tokens of this batch next: tokenising it again would cost a share of the work.
            self._recent.remember(texts, sum(lengths))
            self._squares.remember(texts, sum(length * length for length in lengths))
        return vectors

    def _batch_tokens(self, device: str) -> int:
        if self._runtime is not None:
            return self._runtime.batch_tokens
        if self._options.batch_size is not None:
            # The user set a number of texts: then no budget of tokens limits a batch.
            return sys.maxsize
        return _CPU_TOKENS if device == "cpu" else _DEVICE_TOKENS

    def _rate(self, model: Any, *, measure: bool) -> float | None:
        import torch

        runtime = self._runtime
        coarse = runtime is not None and runtime.name.endswith("-bf16")
        dtype = torch.bfloat16 if coarse else next(model.parameters()).dtype
        elsewhere = runtime is not None and not runtime.name.startswith("torch")
        return matmul_rate(
            str(model.device), dtype, runtime.threads if runtime and elsewhere else None, measure=measure
        )

    def _on_device(self) -> bool:
        with self._opened() as model:
            return bool(model.device.type != "cpu")

    def _clip(self, texts: Sequence[str]) -> list[str]:
        limit = self._options.max_length
        if limit is None or self._facts.truncates_left:
            return list(texts)
        return [text if len(text) <= _HUGE else self._hf_tokenizer.clip(text, limit) for text in texts]

    @cached_property
    def _shared(self) -> SharedModel:
        """What every embedder of this process with these weights uses, whatever its prompts and chunks are."""
        if self._runtime is not None:
            return SharedModel()  # its modules are exchanged
        digest = self.contract["files"]
        # A model that was exchanged since it was opened is not what others are given.
        if self._stamps() != self._digested:
            return SharedModel()
        return shared_model((digest, replace(self._options, batch_size=None)))

    def _stamps(self) -> list[tuple[str, int, int]] | None:
        """Each file with its size and time of change; None where one is gone."""
        try:
            stats = [(name, path.stat()) for name, path in self.model_files().items()]
        except OSError:
            return None
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The model, which one thread uses at a time."""
        with self._shared.lock:
            if self._model is None:
                self._model = self._shared.model or self._load_model()
                self._shared.keep(self._model)
            yield self._model

    def _load_model(self) -> Any:
        with step("loading a model"), loadable(self._root, self._companions) as root:
            model = _load(root, self._options, self._facts)
        if self._runtime is not None:
            accelerate(model, self._runtime, self._converted)
        return model


def _refuse_backend(arguments: Arguments) -> None:
    backend = arguments.text("backend", "torch")
    if backend != "torch":
        raise EmbedderSpecError(
            f"backend={backend} is not supported",
            hint="leave backend out: models run in torch; another runtime fits behind package.module:callable",
        )


def _read_options(arguments: Arguments, facts: ModelFacts) -> ModelOptions:
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
    return ModelOptions(
        pooling=arguments.choice("pooling", POOLING_MODES, facts.pooling),
        max_length=max_length or facts.max_length,
        truncate_dim=None if truncate_dim == facts.dimension else truncate_dim,
        precision=arguments.choice("precision", _PRECISIONS, "float32"),
        device=arguments.text("device", None),
        batch_size=arguments.integer("batch_size", None),
        trusted=arguments.flag("trust_remote_code", False),
    )


def _load(root: Path, options: ModelOptions, facts: ModelFacts) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    try:
        with _quiet():
            model = SentenceTransformer(
                str(root),
                device=options.device,
                local_files_only=True,
                truncate_dim=options.truncate_dim,
                trust_remote_code=options.trusted,
                # Given even when it is float32: left alone, the library takes whatever the weights were saved in.
                model_kwargs={"dtype": getattr(torch, options.precision)},
            )
    except Exception as error:
        hint = "check that SentenceTransformer(DIRECTORY) loads it in this environment"
        if "trust_remote_code" in str(error):
            hint = "read the code that comes with the model, then add trust_remote_code=true to the embedder"
        elif "`peft`" in str(error):
            hint = "pip install peft: the model is an adapter"
        raise EmbeddingError(
            f"the model in {root} cannot be loaded: {type(error).__name__}: {error}", hint=hint
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


def _embedding_error(error: Exception, spec: str, count: int) -> EmbeddingError:
    memory = "out of memory" in str(error).lower()
    hint = "lower batch_size=" if memory else "embed these texts one by one to find the one that fails"
    kind = EmbeddingError if memory else TextRefusedError
    return kind(f"{spec} failed on {count} texts: {type(error).__name__}: {error}", hint=hint)

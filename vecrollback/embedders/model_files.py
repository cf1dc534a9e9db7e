"""What the files of a sentence-transformers model tell without loading it: digest, dimension, lengths, prompts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from vecrollback.embedders import hub
from vecrollback.embedders.spec import Spec
from vecrollback.errors import EmbedderSpecError
from vecrollback.storage.local import sha256_file

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")

_ABOUT = ("README*", "LICENSE*", "NOTICE*", "*.md", "data_config.json", "training_args.bin", "eval", "*.py[co]")
_IGNORED = (".*", "__pycache__", *hub.OTHER_RUNTIMES, *_ABOUT)
_WEIGHTS = ("*.safetensors", "*.bin")
_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_UNBOUNDED = 1_000_000
"""Tokenizers without a limit write an absurd one (10^30)."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the configuration says; None where it says nothing.

    `width` is the dimension of one token's vector, `dimension` that of the final one; `limit` is the number of
    positions the weights have, `max_length` the number of tokens that are read; `first` is the directory of the first
    module, where the tokenizer is.
    """

    width: int | None
    dimension: int | None
    max_length: int | None
    limit: int | None
    pooling: str | None
    query_prompt: str
    document_prompt: str
    truncates_left: bool
    first: Path


def locate(spec: Spec, revision: str | None) -> Path:
    """Return the directory of a model: the spec's own, or the snapshot of a hub name.

    Raises EmbedderSpecError for a directory without a model, EmbeddingError for a hub that cannot be reached.
    """
    here = Path(spec.target).expanduser()
    if not here.is_dir():
        return _from_hub(spec.target, revision)
    if revision is not None:
        raise EmbedderSpecError(f"{here} is a directory and has no revision", hint="leave revision= out")
    if not _is_model(here):
        raise EmbedderSpecError(
            f"{here} does not hold a model: it has neither modules.json nor config.json",
            hint="give the directory that SentenceTransformer.save_pretrained wrote",
        )
    return here.resolve()


def digest_files(root: Path, others: Mapping[str, Path] | None = None) -> str:
    """SHA-256 over names and bytes of the files that shape vectors, wherever the directory stands.

    `others`: files that lie outside of it and shape them, too, by the name they are kept under.
    """
    total = hashlib.sha256()
    files = {path.relative_to(root).as_posix(): path for path in shaping_files(root)}
    for name, path in {**files, **(others or {})}.items():
        total.update(f"{name} {sha256_file(path)}\n".encode())
    return total.hexdigest()


def shaping_files(root: Path) -> list[Path]:
    """The files under `root` that can change a vector, sorted: weights, configuration, tokenizer, code.

    A name that is not known to be harmless counts: a needless new fingerprint is better than a missed change.
    """
    paths = sorted(path for path in _walk(root))
    # Beside safetensors a .bin holds the same weights once more, and is not loaded.
    safe = {path.parent for path in paths if path.suffix == ".safetensors"}
    return [path for path in paths if not (path.suffix == ".bin" and path.parent in safe)]


def first_module(root: Path) -> Path:
    """The directory of a model's first module, where its transformer and tokenizer are."""
    modules = read_json(root / "modules.json")
    return root / modules[0].get("path", "") if modules else root


def foreign_modules(root: Path) -> list[str]:
    """Modules that sentence-transformers does not bring along: code that comes with the model, or of a package."""
    modules = read_json(root / "modules.json") or []
    return [
        kind for module in modules if not (kind := str(module.get("type", ""))).startswith("sentence_transformers.")
    ]


def read_facts(root: Path, base: Path | None = None) -> ModelFacts:
    """Read the configuration files under `root`; of an adapter, those of its `base` for what it does not have."""
    modules = read_json(root / "modules.json")
    paths = {_kind(module): root / module.get("path", "") for module in modules} if isinstance(modules, list) else {}
    first = first_module(root)
    if base is not None and not (first / "tokenizer_config.json").is_file():
        first = base
    config = read_json(first / "config.json") or (read_json(base / "config.json") if base else None) or {}
    tokenizer = read_json(first / "tokenizer_config.json") or {}
    text_config = config.get("text_config") or config
    pooling = read_json(paths["Pooling"] / "config.json") or {} if "Pooling" in paths else {}
    own = read_json(root / "config_sentence_transformers.json") or {}
    width, dimension = _dimensions(root, modules or [], text_config, pooling, own)
    return ModelFacts(
        width=width,
        dimension=dimension,
        max_length=_max_length(first, tokenizer, text_config),
        limit=_positive(text_config.get("max_position_embeddings")),
        pooling="+".join(_modes(pooling)) or None,
        query_prompt=_prompt(own, "query"),
        document_prompt=_prompt(own, "document", "passage", "corpus"),
        truncates_left=tokenizer.get("truncation_side") == "left",
        first=first,
    )


def _from_hub(target: str, revision: str | None) -> Path:
    """The cached snapshot, or a download. The cache goes first: opening a pair must not depend on the network."""
    name = hub.full_name(target)
    snapshot = hub.cached(name, revision)
    if snapshot is not None and _is_model(snapshot) and has_weights(snapshot):
        return snapshot
    return hub.download(name, revision)


def _is_model(root: Path) -> bool:
    return any((root / name).is_file() for name in ("modules.json", "config.json", "adapter_config.json"))


def has_weights(root: Path, *, but: str = "") -> bool:
    """Whether a directory holds weights other than those whose names match `but`."""
    names = [path.name for path in _walk(root) if not (but and fnmatch(path.name, but))]
    return any(fnmatch(name, pattern) for name in names for pattern in _WEIGHTS)


def _walk(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if any(fnmatch(path.name, pattern) for pattern in _IGNORED):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def read_json(path: Path) -> Any:
    """The content of a JSON file; None when there is no file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EmbedderSpecError(f"{path} cannot be read: {error}", hint="fetch the model's files again") from error


def _kind(module: Mapping[str, Any]) -> str:
    return str(module.get("type", "")).rpartition(".")[2]


def _dimensions(
    root: Path, modules: list[Any], config: Mapping[str, Any], pooling: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[int | None, int | None]:
    """Dimension of a token's vector and of the model's, followed through its modules."""
    names = ("hidden_size", "d_model", "dim", "n_embd")
    width = next((size for name in names if (size := _positive(config.get(name)))), None)
    width = _positive(pooling.get("embedding_dimension") or pooling.get("word_embedding_dimension")) or width
    dimension = width and width * (len(_modes(pooling)) or 1)
    for module in modules:
        kind = _kind(module)
        if kind == "Dense":
            dense = read_json(root / module["path"] / "config.json") or {}
            dimension = _positive(dense.get("out_features"))
        elif kind not in {"Transformer", "Pooling", "Normalize", "Dropout", "LayerNorm"}:
            return width, None
    limit = _positive(own.get("truncate_dim"))
    return width, min(dimension, limit) if dimension and limit else dimension


def _modes(pooling: Mapping[str, Any]) -> list[str]:
    mode = pooling.get("pooling_mode")
    if mode:
        return [mode] if isinstance(mode, str) else list(mode)
    return [name for key, name in _LEGACY_POOLING.items() if pooling.get(key)]


def _max_length(first: Path, tokenizer: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    for path in sorted(first.glob("sentence_*_config.json")):
        own = _positive((read_json(path) or {}).get("max_seq_length"))
        if own:
            return own
    limits = (tokenizer.get("model_max_length"), config.get("max_position_embeddings"))
    lengths = [limit for value in limits if (limit := _positive(value))]
    return min(lengths) if lengths else None


def _positive(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 < value < _UNBOUNDED else None


def _prompt(own: Mapping[str, Any], *names: str) -> str:
    """The prompt that encode_query or encode_document would take."""
    prompts = own.get("prompts") or {}
    for name in (*names, own.get("default_prompt_name")):
        if name in prompts:
            return str(prompts[name] or "")
    return ""

"""What a model needs that lies outside its directory: the base of a PEFT adapter, and code of another repository.

Both shape vectors, so both are part of the fingerprint and are kept with the model: below `.base/` and `.code/`. A kept
model brings them along; of any other the base and the code are found where its configuration says.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecrollback.embedders import hub
from vecrollback.embedders.model_files import digest_files, first_module, has_weights, read_json, shaping_files
from vecrollback.embedders.spec import HUB_NAME
from vecrollback.errors import EmbedderSpecError

BASE, CODE = ".base", ".code"
_ADAPTER = "adapter_config.json"
_WITH_CODE = ("config.json", "tokenizer_config.json")
_TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")
_REFERENCE = re.compile(r"([\w.-]+/[\w.-]+)--([\w.]+)")


@dataclass(frozen=True, slots=True)
class Companion:
    """A directory that a model needs beside its own. `prefix`: below which its files are kept."""

    prefix: str
    root: Path

    def files(self) -> dict[str, Path]:
        """Its files that shape vectors, by the name under which they are kept."""
        paths = sorted(self.root.glob("*.py")) if self.prefix.startswith(CODE) else shaping_files(self.root)
        return {f"{self.prefix}/{path.relative_to(self.root).as_posix()}": path for path in paths}


def find_companions(root: Path, *, trusted: bool) -> tuple[Companion, ...]:
    """What the model in a directory needs from elsewhere. Code only where it is `trusted`, and would be run.

    Raises:
        EmbedderSpecError: The base of an adapter, or the code, is not where the configuration says.
        EmbeddingError: It is on a hub that cannot be reached.
    """
    base = _base(root)
    repositories = sorted(_repositories(first_module(root)), key=_folder) if trusted else []
    code = [Companion(f"{CODE}/{_folder(name)}", _code(root, name)) for name in repositories]
    return (*([Companion(BASE, base)] if base else []), *code)


def digest_kept(root: Path) -> str:
    """`digest_files` of a directory that brings along what its model needs, as a store keeps it."""
    code = sorted(path for path in (root / CODE).glob("*"))
    base = [Companion(BASE, root / BASE)] if (root / BASE).is_dir() else []
    companions = [*base, *(Companion(f"{CODE}/{path.name}", path) for path in code)]
    return digest_files(root, {name: path for one in companions for name, path in one.files().items()})


@contextmanager
def loadable(root: Path, companions: tuple[Companion, ...]) -> Iterator[Path]:
    """A directory from which the libraries load the model with exactly these companions, whatever the hub says today.

    The model's own when it needs none; else one of links, for as long as the block lasts.
    """
    if not companions:
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="vecrollback-model-") as folder:
        tree = Path(folder) / "model"
        for path in shaping_files(root):
            _link(path, tree / path.relative_to(root))
        first = tree / first_module(root).relative_to(root)
        for companion in companions:
            (_join_base if companion.prefix == BASE else _join_code)(first, companion)
        yield tree


def _base(root: Path) -> Path | None:
    """The directory of the model that an adapter was trained on; None for a model that is whole."""
    first = first_module(root)
    adapter = read_json(first / _ADAPTER)
    if adapter is None or has_weights(first, but="adapter_model.*"):
        return None
    if (root / BASE).is_dir():
        return root / BASE
    name = str(adapter.get("base_model_name_or_path") or "")
    if (directory := Path(name).expanduser()).is_dir():
        return directory.resolve()
    if not HUB_NAME.fullmatch(name):
        raise EmbedderSpecError(
            f"{first / _ADAPTER} is an adapter of {name!r}, which is not here",
            hint="write the base's directory or hub name into base_model_name_or_path of that file",
        )
    revision = adapter.get("revision")
    return hub.cached(hub.full_name(name), revision) or hub.download(hub.full_name(name), revision)


def _repositories(first: Path) -> set[str]:
    """The repositories whose code a model's configuration asks for."""
    references = [str(value) for name in _WITH_CODE for value in _auto_map(read_json(first / name) or {})]
    return {match[1] for one in references if (match := _REFERENCE.fullmatch(one))}


def _auto_map(config: Mapping[str, Any]) -> list[Any]:
    values = list((config.get("auto_map") or {}).values())
    return [one for value in values for one in (value if isinstance(value, list) else [value]) if one]


def _code(root: Path, name: str) -> Path:
    kept = root / CODE / _folder(name)
    return kept if kept.is_dir() else hub.cached(name, None) or hub.download(name, None)


def _folder(repository: str) -> str:
    return repository.replace("/", "--")


def _join_base(first: Path, companion: Companion) -> None:
    adapter = read_json(first / _ADAPTER)
    (first / _ADAPTER).unlink()
    body = adapter | {"base_model_name_or_path": str(companion.root), "revision": None}
    (first / _ADAPTER).write_text(json.dumps(body), encoding="utf-8")
    if not (first / "tokenizer_config.json").exists():
        for path in {path for pattern in _TOKENIZER for path in companion.root.glob(pattern)}:
            _link(path, first / path.name)


def _join_code(first: Path, companion: Companion) -> None:
    """Make the code the model's own: only then do the libraries run these very files."""
    for path in sorted(companion.root.glob("*.py")):
        _link(path, first / path.name)
    repository = companion.prefix.removeprefix(f"{CODE}/").replace("--", "/", 1)
    for name in _WITH_CODE:
        text = (first / name).read_text(encoding="utf-8") if (first / name).exists() else ""
        if f"{repository}--" in text:
            (first / name).unlink()
            (first / name).write_text(text.replace(f"{repository}--", ""), encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())

"""Models by their name on the Hugging Face hub: from this machine's cache, pinned to the commit that was there.

A name alone says what the hub calls so today. A pair needs the files that made its vectors, so what is recorded with it
is the name with the commit: the cache's `refs/main` may move, and the hub's branch with it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vecrollback.embedders.spec import HUB_NAME, Spec, with_arguments
from vecrollback.errors import EmbeddingError

OTHER_RUNTIMES = ("onnx", "openvino", "coreml", "rust_model.ot", "*.onnx", "*.h5", "*.msgpack", "*.tflite", "*.gguf")
"""What other runtimes load, and this product does not."""


def full_name(target: str) -> str:
    """The repository of a target as it may be typed: `NAME` alone is one of sentence-transformers."""
    return target if "/" in target else f"sentence-transformers/{target}"


def cached(name: str, revision: str | None) -> Path | None:
    """The folder of a snapshot in this machine's cache; None when it is not there."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except Exception:  # not in the cache, in whichever way this release of the library says so
        return None


def download(name: str, revision: str | None) -> Path:
    """The folder of a snapshot, fetched where it is not whole. Raises EmbeddingError for a hub that is out of reach."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, ignore_patterns=[*OTHER_RUNTIMES, "*/*.onnx"]))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        at = f" at revision {revision}" if revision else ""
        raise EmbeddingError(
            f"cannot fetch the model {name}{at} from the hub: {type(error).__name__}: {reason}",
            hint=f"on a machine with network run `hf download {name} --local-dir DIR`, copy DIR here and use its path "
            "as the embedder: the fingerprint is that of the files, not of the place",
        ) from error


def commit_of(snapshot: Path) -> str | None:
    """The commit that a folder of the cache holds; None for any other folder."""
    return snapshot.name if snapshot.parent.name == "snapshots" else None


def earlier_commits(text: str) -> list[str]:
    """The strings of a model by name, without a revision, at every commit that this machine's cache holds of it."""
    head = text.partition("?")[0]
    if "revision=" in text or not HUB_NAME.fullmatch(head) or Path(head).is_dir():
        return []
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{full_name(head).replace('/', '--')}" / "snapshots"
    commits = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [with_arguments(text, {"revision": commit}) for commit in commits]


def pinned(spec: Spec, snapshot: Path) -> Spec:
    """The same embedder by name and commit, wherever the name will point later."""
    commit = commit_of(snapshot)
    return replace(spec, text=with_arguments(spec.text, {"revision": commit})) if commit else spec

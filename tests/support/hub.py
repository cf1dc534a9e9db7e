"""A cache of the Hugging Face hub that is made by hand."""

from __future__ import annotations

import shutil
from pathlib import Path


class Hub:
    """A cache of the Hugging Face hub, laid out as `huggingface_hub` does: blobs, snapshots of links, refs."""

    def __init__(self, root: Path, name: str = "org/model") -> None:
        self._root = root / f"models--{name.replace('/', '--')}"

    def commit(self, commit: str, model: Path) -> None:
        """Add a snapshot, and move `refs/main` to it."""
        snapshot, blobs = self._root / "snapshots" / commit, self._root / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(sorted(path for path in model.rglob("*") if path.is_file())):
            link = snapshot / file.relative_to(model)
            link.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, blobs / f"{commit[:8]}{number}")
            link.symlink_to(blobs / f"{commit[:8]}{number}")
        self.point("main", commit)

    def point(self, ref: str, commit: str) -> None:
        """Let a branch or a tag stand at a commit."""
        (self._root / "refs").mkdir(exist_ok=True)
        (self._root / "refs" / ref).write_text(commit)

    def forget(self, commit: str) -> None:
        """As `hf cache delete` does."""
        for link in (self._root / "snapshots" / commit).rglob("*"):
            if link.is_symlink():
                link.resolve().unlink()
        shutil.rmtree(self._root / "snapshots" / commit)

    def clear(self) -> None:
        """As `rm -r`."""
        shutil.rmtree(self._root)

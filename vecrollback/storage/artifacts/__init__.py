"""Where immutable files live: named by the SHA-256 of their bytes, written once."""

from vecrollback.storage.artifacts.base import Artifacts, LocalArtifacts, digest, remove, size

__all__ = ["Artifacts", "LocalArtifacts", "digest", "remove", "size"]

"""Where immutable files live: named by the SHA-256 of their bytes, written once."""

from vecrollback.artifacts.base import Artifacts, digest, remove, size
from vecrollback.artifacts.cache import Cache
from vecrollback.artifacts.local import LocalArtifacts
from vecrollback.artifacts.objects import ObjectArtifacts

__all__ = ["Artifacts", "Cache", "LocalArtifacts", "ObjectArtifacts", "digest", "remove", "size"]

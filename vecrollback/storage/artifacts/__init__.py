"""Where immutable files live: named by the SHA-256 of their bytes, written once."""

from vecrollback.storage.artifacts.base import Artifacts, LocalArtifacts, digest, remove, size
from vecrollback.storage.artifacts.cache import Cache
from vecrollback.storage.artifacts.s3 import S3Artifacts

__all__ = ["Artifacts", "Cache", "LocalArtifacts", "S3Artifacts", "digest", "remove", "size"]

"""The databases that hold pairs pass the suite that is shipped for authors of others."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.postgres import PostgresServer
from vecrollback.testing import BackendConformance


class TestPgvector(BackendConformance):
    specs = ("hnsw", "ivfflat:lists=10,probes=6", "hnsw:m=8,halfvec")

    @pytest.fixture
    def place(self, postgres: PostgresServer) -> str:
        return f"pgvector:postgresql://postgres@/postgres?host={postgres.folder}#p_{uuid4().hex[:8]}"

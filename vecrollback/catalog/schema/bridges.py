"""Bridges between pairs."""

from __future__ import annotations

import sqlalchemy as sa

from vecrollback.catalog.schema.base import NUMBER, metadata

bridge = sa.Table(
    "bridge",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("target", sa.String, nullable=False, index=True),
    sa.Column("source_fingerprint", sa.String, nullable=False),
    sa.Column("target_fingerprint", sa.String, nullable=False),
    sa.Column("artifact", sa.String, nullable=False),
    sa.Column("method", sa.String, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("worth", sa.JSON, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
)

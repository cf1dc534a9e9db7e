"""The log of documents, as far as the catalog knows it: its head, its tombstones, the files of its tables."""

from __future__ import annotations

import sqlalchemy as sa

from vecrollback.catalog.schema.base import metadata

store = sa.Table(
    "store",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
)

corpus = sa.Table(
    "corpus",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("head", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("documents", sa.BigInteger, nullable=False),
)

tombstone = sa.Table(
    "tombstone",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False, index=True),
    sa.Column("at", sa.String, nullable=False),
)

file = sa.Table(
    "file",
    metadata,
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("sha256", sa.String, nullable=False),
)

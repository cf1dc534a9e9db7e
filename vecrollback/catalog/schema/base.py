"""What all tables share; and those of the store itself, of its log and of its files."""

from __future__ import annotations

import sqlalchemy as sa

FORMAT = 19
"""Format of the whole store: catalog schema, Lance tables and artefacts. Equals the newest migration's number."""

metadata = sa.MetaData()

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""Type of a key that counts up by itself: SQLite does that for INTEGER only."""


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

earlier = sa.Table(
    "earlier",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("floor", sa.BigInteger, nullable=False),
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

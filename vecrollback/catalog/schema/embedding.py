"""What surrounds the embedding of a pair's documents: who runs a job, what could not be embedded, what made what."""

from __future__ import annotations

import sqlalchemy as sa

from vecrollback.catalog.schema.base import NUMBER, metadata

runner = sa.Table(
    "runner",
    metadata,
    sa.Column("job", sa.String, primary_key=True),
    sa.Column("host", sa.String, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("process", sa.String, nullable=False),
    sa.Column("heartbeat", sa.Float, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False),
)

unembedded = sa.Table(
    "unembedded",
    metadata,
    sa.Column("pair", sa.String, primary_key=True),
    sa.Column("document", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("job", sa.String, nullable=False, index=True),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

acceptance = sa.Table(
    "acceptance",
    metadata,
    sa.Column("pair", sa.String, primary_key=True),
    sa.Column("document", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

making = sa.Table(
    "making",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("pair", sa.String, nullable=False, index=True),
    sa.Column("job", sa.String, nullable=False),
    # The runtime; stored names stay.
    sa.Column("backend", sa.String, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

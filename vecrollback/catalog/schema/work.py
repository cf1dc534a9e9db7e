"""What processes do and found: jobs, searchers, reports, declared equivalences."""

from __future__ import annotations

import sqlalchemy as sa

from vecrollback.catalog.schema.base import NUMBER, metadata

job = sa.Table(
    "job",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("pair", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("cancel", sa.Boolean, nullable=False),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("error", sa.String, nullable=False),
    sa.Column("started_at", sa.String, nullable=False),
    sa.Column("updated_at", sa.String, nullable=False),
)

# The table keeps the name that the first format gave it: stores of every version share one schema.
searcher = sa.Table(
    "reader",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("alias", sa.String, nullable=False),
    sa.Column("host", sa.String, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("warm", sa.JSON, nullable=False),
    sa.Column("heartbeat", sa.Float, nullable=False),
)

equivalence = sa.Table(
    "equivalence",
    metadata,
    sa.Column("fingerprint", sa.String, primary_key=True),
    sa.Column("other", sa.String, primary_key=True),
    sa.Column("cosine", sa.Float, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

report = sa.Table(
    "report",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("pair", sa.String, nullable=False, index=True),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Index("ix_report_pair_number", "pair", "number"),
)

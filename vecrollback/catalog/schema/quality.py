"""What is expected of a pair's answers, and what came of it: golden queries, gates, canaries."""

from __future__ import annotations

import sqlalchemy as sa

from vecrollback.catalog.schema.base import NUMBER, metadata

golden = sa.Table(
    "golden",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("text", sa.String, nullable=False),
    sa.Column("expected", sa.JSON, nullable=False),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
    sa.Column("created_by", sa.String, nullable=False),
)

gate_outcome = sa.Table(
    "gate_outcome",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("pair", sa.String, nullable=False, index=True),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sa.Column("move", sa.BigInteger, index=True),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("outcomes", sa.JSON, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

# Called `rollout` in the database, as the format that brought it did: stored names stay.
canary = sa.Table(
    "rollout",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("alias", sa.String, nullable=False),
    sa.Column("pair", sa.String, nullable=False),
    sa.Column("baseline", sa.String, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("share", sa.Float, nullable=False),
    sa.Column("shadow", sa.Float, nullable=False),
    sa.Column("salt", sa.String, nullable=False),
    sa.Column("policy", sa.JSON, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("started_at", sa.String, nullable=False),
    sa.Column("started_by", sa.String, nullable=False),
    sa.Column("ended_at", sa.String),
    sa.Column("ended_by", sa.String, nullable=False),
    sa.Column("end_reason", sa.String, nullable=False),
)

observation = sa.Table(
    "observation",
    metadata,
    sa.Column("rollout", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("measure", sa.String, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("total", sa.Float, nullable=False),
    sa.Column("squares", sa.Float, nullable=False),
    sa.Column("lowest", sa.Float, nullable=False),
    sa.Column("highest", sa.Float, nullable=False),
    sa.Column("bins", sa.JSON, nullable=False),
)

# Earlier versions kept queries of a canary here; the table stays, so that their stores and ours have one schema.
canary_sample = sa.Table(
    "rollout_sample",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("rollout", sa.BigInteger, nullable=False, index=True),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

cascade = sa.Table(
    "cascade",
    metadata,
    sa.Column("pair", sa.String, primary_key=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("per_query", sa.BigInteger, nullable=False),
    sa.Column("per_second", sa.BigInteger, nullable=False),
    sa.Column("trial", sa.JSON, nullable=False),
    sa.Column("queries", sa.BigInteger, nullable=False),
    sa.Column("embedded", sa.BigInteger, nullable=False),
    sa.Column("covered", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.String, nullable=False),
    sa.Column("ended_at", sa.String),
    sa.Column("outcome", sa.String, nullable=False),
)

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

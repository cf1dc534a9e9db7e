"""Pairs, their snapshots, and the pointers that move between them."""

from __future__ import annotations

import sqlalchemy as sa

from vecrollback.catalog.schema.base import NUMBER, metadata

pair = sa.Table(
    "pair",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("state_reason", sa.String, nullable=False),
    sa.Column("embedder", sa.String, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("contract", sa.JSON, nullable=False),
    sa.Column("dimension", sa.Integer, nullable=False),
    sa.Column("metric", sa.String, nullable=False),
    sa.Column("index_spec", sa.String, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sa.Column("watermark", sa.BigInteger, nullable=False),
    sa.Column("vectors_version", sa.BigInteger, nullable=False),
    sa.Column("probes", sa.String, nullable=False),
    sa.Column("probe_floor", sa.Float, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
    sa.Column("backend", sa.String, nullable=False, server_default=""),
)

snapshot = sa.Table(
    "snapshot",
    metadata,
    sa.Column("pair", sa.String, sa.ForeignKey("pair.name"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("manifest", sa.String, nullable=False),
    sa.Column("watermark", sa.BigInteger, nullable=False),
    sa.Column("vectors_version", sa.BigInteger, nullable=False),
    sa.Column("recall", sa.Float),
    sa.Column("chunks", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
)

tag = sa.Table(
    "tag",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("pair", sa.String, nullable=False),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
)

kept_model = sa.Table(
    "kept_model",
    metadata,
    sa.Column("pair", sa.String, primary_key=True),
    sa.Column("artifact", sa.String, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

model_answer = sa.Table(
    "model_answer",
    metadata,
    sa.Column("pair", sa.String, primary_key=True),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("said", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("host", sa.String, nullable=False),
)

server_words = sa.Table(
    "server_words",
    metadata,
    sa.Column("pair", sa.String, primary_key=True),
    sa.Column("words", sa.JSON, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

alias = sa.Table(
    "alias",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("pair", sa.String, sa.ForeignKey("pair.name"), nullable=False),
    sa.Column("snapshot", sa.Integer, nullable=False),
    # Number of the canary that runs. The name is that of the format which brought it: stored names stay.
    sa.Column("trial", sa.BigInteger),
    # Epoch that the name in a database of pairs stands for; NULL where there is no such name.
    sa.Column("native_epoch", sa.BigInteger),
)

history = sa.Table(
    "history",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("alias", sa.String, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("source", sa.String),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("previous_hash", sa.String, nullable=False),
    sa.Column("hash", sa.String, nullable=False),
)

tenure = sa.Table(
    "tenure",
    metadata,
    sa.Column("alias", sa.String, primary_key=True),
    sa.Column("pair", sa.String, primary_key=True),
    sa.Column("first_epoch", sa.BigInteger, nullable=False),
    sa.Column("last_epoch", sa.BigInteger, nullable=False),
    sa.Column("began", sa.String, nullable=False),
    sa.Index("ix_tenure_alias_last_epoch", "alias", "last_epoch"),
)

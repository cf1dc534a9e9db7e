"""The catalog's tables. Change them together with a migration in `migrations/`."""

from __future__ import annotations

import sqlalchemy as sa

FORMAT = 3
"""Format of the whole store: catalog schema, Lance tables and artefacts. Equals the newest migration's number."""

metadata = sa.MetaData()

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

file = sa.Table(
    "file",
    metadata,
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("sha256", sa.String, nullable=False),
)

alias = sa.Table(
    "alias",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("pair", sa.String, sa.ForeignKey("pair.name"), nullable=False),
    sa.Column("snapshot", sa.Integer, nullable=False),
)

history = sa.Table(
    "history",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
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

reader = sa.Table(
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
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("pair", sa.String, nullable=False, index=True),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

token = sa.Table(
    "token",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("sha256", sa.String, nullable=False, unique=True),
    sa.Column("created_at", sa.String, nullable=False),
    sa.Column("created_by", sa.String, nullable=False),
    sa.Column("revoked_at", sa.String),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
)

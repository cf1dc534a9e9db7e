"""What surrounds the switch: incidents, authority, what a policy knows, notices, drills, tokens."""

from __future__ import annotations

import sqlalchemy as sa

from vecrollback.catalog.schema.base import NUMBER, metadata

incident = sa.Table(
    "incident",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("alias", sa.String, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.UniqueConstraint("alias", "epoch"),
)

served = sa.Table(
    "served",
    metadata,
    # Id of a searcher. The column was named before searchers were: stored names stay.
    sa.Column("reader", sa.String, primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("alias", sa.String, nullable=False),
    sa.Column("answers", sa.BigInteger, nullable=False),
    sa.Column("first_at", sa.Float, nullable=False),
    sa.Column("last_at", sa.Float, nullable=False),
)

stale_read = sa.Table(
    "stale_read",
    metadata,
    sa.Column("pair", sa.String, primary_key=True),
    sa.Column("document", sa.String, primary_key=True),
    sa.Column("reads", sa.BigInteger, nullable=False),
)

freeze = sa.Table(
    "freeze",
    metadata,
    sa.Column("alias", sa.String, primary_key=True),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("until", sa.String),
)

approval = sa.Table(
    "approval",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

baseline = sa.Table(
    "baseline",
    metadata,
    sa.Column("alias", sa.String, primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("pair", sa.String, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

measurement = sa.Table(
    "measurement",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("name", sa.String, nullable=False, index=True),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

judgement = sa.Table(
    "judgement",
    metadata,
    sa.Column("alias", sa.String, primary_key=True),
    sa.Column("metric", sa.String, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

watch = sa.Table(
    "watch",
    metadata,
    sa.Column("alias", sa.String, primary_key=True),
    sa.Column("origin", sa.String, nullable=False),
    sa.Column("keep", sa.Float, nullable=False),
    sa.Column("a_second", sa.Integer, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)

# Both are rings: whoever gives writes over its own oldest rows, so that there are never more of them than slots.
sampled_query = sa.Table(
    "sampled_query",
    metadata,
    sa.Column("searcher", sa.String, primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("alias", sa.String, nullable=False),
    sa.Column("origin", sa.String, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("query", sa.String, nullable=False),
    sa.Column("best", sa.Float),
)

answer_count = sa.Table(
    "answer_count",
    metadata,
    sa.Column("searcher", sa.String, primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("alias", sa.String, nullable=False),
    sa.Column("origin", sa.String, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("answers", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("latency", sa.JSON, nullable=False),
)

notice = sa.Table(
    "notice",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("channel", sa.String, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due", sa.Float, nullable=False),
    sa.Column("error", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)

drill = sa.Table(
    "drill",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("chaos", sa.String, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
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
    sa.Column("expires_at", sa.String),
    sa.Column("last_used_at", sa.String),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
)

"""What surrounds the switch: incidents, counted answers, authority, what a policy knows, notices, drills."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the tables, empty."""
    _incidents()
    _authority()
    _watching()
    _notices_and_drills()


def _incidents() -> None:
    op.create_table(
        "incident",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("alias", sa.String, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.UniqueConstraint("alias", "epoch"),
    )
    op.create_table(
        "served",
        sa.Column("reader", sa.String, primary_key=True),
        sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("alias", sa.String, nullable=False),
        sa.Column("answers", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.Float, nullable=False),
        sa.Column("last_at", sa.Float, nullable=False),
    )


def _authority() -> None:
    op.create_table(
        "freeze",
        sa.Column("alias", sa.String, primary_key=True),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("until", sa.String),
    )
    op.create_table(
        "approval",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )


def _watching() -> None:
    op.create_table(
        "baseline",
        sa.Column("alias", sa.String, primary_key=True),
        sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("pair", sa.String, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
    op.create_table(
        "measurement",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("name", sa.String, nullable=False, index=True),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "judgement",
        sa.Column("alias", sa.String, primary_key=True),
        sa.Column("metric", sa.String, primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )


def _notices_and_drills() -> None:
    op.create_table(
        "notice",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("channel", sa.String, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
    op.create_table(
        "drill",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("chaos", sa.String, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )

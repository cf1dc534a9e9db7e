"""Pairs that serve while they are being built."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "cascade",
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

"""What a watch asks of those who answer, and what they give it: sampled queries, and counts of all."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the tables, empty."""
    op.create_table(
        "watch",
        sa.Column("alias", sa.String, primary_key=True),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("keep", sa.Float, nullable=False),
        sa.Column("a_second", sa.Integer, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )
    op.create_table(
        "sampled_query",
        sa.Column("searcher", sa.String, primary_key=True),
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("alias", sa.String, nullable=False),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("query", sa.String, nullable=False),
        sa.Column("best", sa.Float),
    )
    op.create_table(
        "answer_count",
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

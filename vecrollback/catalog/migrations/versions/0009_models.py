"""The models of pairs: their files as the store keeps them, and what they did when they were asked last."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the tables, empty: nothing was kept or asked before."""
    op.create_table(
        "kept_model",
        sa.Column("pair", sa.String, primary_key=True),
        sa.Column("artifact", sa.String, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
    op.create_table(
        "model_answer",
        sa.Column("pair", sa.String, primary_key=True),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("said", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("host", sa.String, nullable=False),
    )

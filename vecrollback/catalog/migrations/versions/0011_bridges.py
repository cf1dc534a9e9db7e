"""Bridges between pairs."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "bridge",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("source_fingerprint", sa.String, nullable=False),
        sa.Column("target_fingerprint", sa.String, nullable=False),
        sa.Column("artifact", sa.String, nullable=False),
        sa.Column("method", sa.String, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("worth", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
    )
    op.create_index("ix_bridge_target", "bridge", ["target"])

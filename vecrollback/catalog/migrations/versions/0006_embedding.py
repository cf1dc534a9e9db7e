"""Who runs a job, which documents could not be embedded, and what made a pair's vectors."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the tables, empty."""
    op.create_table(
        "runner",
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("process", sa.String, nullable=False),
        sa.Column("heartbeat", sa.Float, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
    )
    op.create_table(
        "unembedded",
        sa.Column("pair", sa.String, primary_key=True),
        sa.Column("document", sa.String, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
    op.create_index("ix_unembedded_job", "unembedded", ["job"])
    op.create_table(
        "making",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("pair", sa.String, nullable=False),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("backend", sa.String, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
    op.create_index("ix_making_pair", "making", ["pair"])

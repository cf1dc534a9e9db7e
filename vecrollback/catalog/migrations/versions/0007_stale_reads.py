"""How often documents were answered from outdated vectors."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table, empty."""
    op.create_table(
        "stale_read",
        sa.Column("pair", sa.String, primary_key=True),
        sa.Column("document", sa.String, primary_key=True),
        sa.Column("reads", sa.BigInteger, nullable=False),
    )

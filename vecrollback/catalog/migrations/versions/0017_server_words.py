"""What the servers of pairs' models told of them last."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "server_words",
        sa.Column("pair", sa.String, primary_key=True),
        sa.Column("words", sa.JSON, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )

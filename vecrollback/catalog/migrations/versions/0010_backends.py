"""Which database holds the vectors of a pair; "" for the store's own files."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column: every pair so far lies in files."""
    op.add_column("pair", sa.Column("backend", sa.String, nullable=False, server_default=""))

"""When a token expires, and when it was used last."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns. Tokens that are there go on without an end, as they were made."""
    op.add_column("token", sa.Column("expires_at", sa.String))
    op.add_column("token", sa.Column("last_used_at", sa.String))

"""What documents were before: which version of their table counts, and how far back it reaches."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the table. Nothing was kept so far: the log can be taken back to where it stands now, not behind it."""
    op.create_table(
        "earlier",
        sa.Column("one", sa.Integer, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO earlier (one, version, floor) SELECT 1, 0, head FROM corpus")

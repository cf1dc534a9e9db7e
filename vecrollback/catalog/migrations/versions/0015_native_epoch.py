"""Which move the name that a database has for `live` followed last."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the column. Where a name stands already it is moved once more, which changes nothing."""
    op.add_column("alias", sa.Column("native_epoch", sa.BigInteger))

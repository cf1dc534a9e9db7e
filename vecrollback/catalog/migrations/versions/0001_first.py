"""The first format: created whole, so there is nothing to do."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Do nothing: stores of format 1 have their tables."""

"""What a bridge is worth has an interval: earlier programs cannot read it, so they are told by the store's format."""

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Nothing to do: a bridge that was measured before has no interval, and is read as it is."""

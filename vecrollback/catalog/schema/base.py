"""What all tables share."""

from __future__ import annotations

import sqlalchemy as sa

FORMAT = 8
"""Format of the whole store: catalog schema, Lance tables and artefacts. Equals the newest migration's number."""

metadata = sa.MetaData()

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""Type of a key that counts up by itself: SQLite does that for INTEGER only."""

"""What a store of the first format had, for tests that take one back to it."""

from vecrollback.catalog import schema

_NAMES = "store corpus tombstone pair snapshot tag alias history job reader equivalence report"
TABLES = frozenset(_NAMES.split())
LATER = sorted(schema.metadata.tables.keys() - TABLES)
LATER_COLUMNS = (("alias", "trial"), ("alias", "native_epoch"), ("pair", "backend"))

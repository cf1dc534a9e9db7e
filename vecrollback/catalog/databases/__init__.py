"""The databases a catalog can be kept in: SQLite in the directory of the store, or PostgreSQL."""

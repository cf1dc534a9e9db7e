"""The store: one class, `Store`, that has everything a command can do."""

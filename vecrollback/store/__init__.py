"""The store: one class, , that has everything a command can do."""

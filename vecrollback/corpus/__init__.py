"""The document log: what was written and deleted, in order, and the files that documents are read from."""

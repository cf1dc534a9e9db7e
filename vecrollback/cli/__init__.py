"""The command line. Each command parses, makes one call on the store, and renders what came back.

Nothing here imports the store, NumPy or a model before a command needs it: `vecrollback --help` has to be instant, and
`vecrollback rollback --no-catch-up` has to work on a host where half of the dependencies are broken.
"""

"""The command line: one command, one file of its name; a group of sub-commands is one file too.

A command parses, makes one call on the store, and renders what came back. `app.py` finds the command, `support/` holds
what commands share, `demo_story/` what `demo` plays.

Nothing imports the store, NumPy or a model before a command needs it: `vecrollback --help` has to be instant, and
`vecrollback rollback --no-catch-up` has to work on a host where half of the dependencies are broken.
"""

"""The operation around the switch: incidents, authority, notices, what was rehearsed.

Nothing here is needed for a rollback: the store calls it after the move, guarded, and tells what failed.
"""

"""Moving the pointer: the switch, what it asks before (gates, canary, freezes, approvals), what is kept after it.

Incidents and notifications are not needed for a rollback: the store calls them after the move, guarded, and tells what
failed.
"""

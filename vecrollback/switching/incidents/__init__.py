"""Incidents: the record of each rollback, from the decision to the proof."""

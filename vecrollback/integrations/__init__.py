"""Adapters to the frameworks that services are written with. Each imports its framework alone, when it is imported."""

"""Databases that hold pairs, one file for each."""

"""Conformance suites for authors of embedders, indexes, connectors, engines, storage and catalogs."""

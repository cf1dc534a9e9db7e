"""Conformance suites: what an implementation of your own must promise, as test classes to subclass.

    from vecrollback.testing import EmbedderConformance

    class TestMine(EmbedderConformance):
        @pytest.fixture
        def spec(self) -> str:
            return "mine:small"

They need pytest: `pip install 'vecrollback[testing]'`. Each suite's docstring has a whole adopter. The product's own
embedders, index kinds, connectors, engines, rerankers, file stores and catalogs pass the same classes.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from vecrollback.testing.backend_suite import BackendConformance
    from vecrollback.testing.catalog_suite import CatalogConformance
    from vecrollback.testing.connector_suite import ConnectorConformance
    from vecrollback.testing.embedder_suite import EmbedderConformance
    from vecrollback.testing.engine_suite import EngineConformance
    from vecrollback.testing.index_suite import IndexConformance
    from vecrollback.testing.reranker_suite import RerankerConformance
    from vecrollback.testing.storage_suite import StorageConformance

__all__ = [
    "BackendConformance",
    "CatalogConformance",
    "ConnectorConformance",
    "EmbedderConformance",
    "EngineConformance",
    "IndexConformance",
    "RerankerConformance",
    "StorageConformance",
]


def to_be_defined(suite: type, name: str) -> NoReturn:
    """Fail a test of a suite that was adopted without what the suite asks for."""
    import pytest

    pytest.fail(f"{suite.__name__} must define {name!r}; the docstring of its suite has a whole example", pytrace=False)


def __getattr__(name: str) -> Any:
    # Loaded when asked for: pytest is needed by whoever runs a suite, not by what only imports the package.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import pytest
    except ImportError as error:
        from vecrollback.errors import MissingDependencyError

        raise MissingDependencyError("pytest", "testing") from error
    module = f"{__name__}.{name.removesuffix('Conformance').lower()}_suite"
    if module not in sys.modules:
        pytest.register_assert_rewrite(module)  # or a failed assertion would not say what was compared
    return getattr(importlib.import_module(module), name)

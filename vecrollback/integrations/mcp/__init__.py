"""The store for AI agents that speak the Model Context Protocol. Needs the extra `mcp`.

`create_server` makes the server; `serve_stdio` and `serve_http` run it, as `vecrollback mcp` does.
"""

from __future__ import annotations

from importlib.util import find_spec

from vecrollback.errors import MissingDependencyError

if find_spec("mcp") is None:
    raise MissingDependencyError("mcp", "mcp")

from vecrollback.integrations.mcp.running import serve_http, serve_stdio
from vecrollback.integrations.mcp.tools import create_server

__all__ = ["create_server", "serve_http", "serve_stdio"]

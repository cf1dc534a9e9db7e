"""A store behind a URL: the methods of `Store` that search, write and operate, over HTTP, with the same results.

What the server answers is read into the same records, and an error it reports is raised as the same class.
"""

from __future__ import annotations

from vecrollback.client.async_client import AsyncClient
from vecrollback.client.client import Client

__all__ = ["AsyncClient", "Client"]

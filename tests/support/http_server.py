"""A server as a process of its own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx

from tests.support.spawner import spawn
from vecrollback import Document, connect

V1, V2 = "hash:64?seed=1", "hash:64?seed=2"
WORDS = ("apples", "pears", "plums", "quinces", "cherries")
NO_TLS = False  # loading certificates takes longer than a request
QUERIES = tuple(f"{word} of crate {n}" for n, word in enumerate(WORDS))


@dataclass
class Server:
    """A running server: where it is, its process, and what it has logged."""

    url: str
    process: subprocess.Popen[str]
    log: IO[str]
    http: httpx.Client

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.http.post(path, json=body, **options)

    def delete(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.http.request("DELETE", path, json=body, **options)

    def client(self) -> httpx.Client:
        """Another client, with connections of its own."""
        return httpx.Client(base_url=self.url, timeout=60, verify=NO_TLS)

    def searchers(self) -> list[int]:
        """Process ids of the workers that serve."""
        return [searcher["pid"] for searcher in fresh(self.url, "GET", "/v1/status").json()["searchers"]]

    def logged(self) -> list[dict[str, Any]]:
        # The server writes where this file stands: to seek here would have it write over its own lines.
        size = os.fstat(self.log.fileno()).st_size
        whole, _, _ = os.pread(self.log.fileno(), size, 0).rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines() if line.strip()]


def fresh(url: str, method: str, path: str, **options: Any) -> httpx.Response:
    """One request over a connection of its own."""
    with httpx.Client(base_url=url, timeout=60, verify=NO_TLS) as http:
        return http.request(method, path, **options)


@contextlib.contextmanager
def serving(
    store: Path, *arguments: str, token: str | None = None, env: dict[str, str] | None = None, patience: float = 90
) -> Iterator[Server]:
    """Serve a store until the block ends; then the server must end in order."""
    with tempfile.TemporaryFile("w+") as log:
        command = ["-m", "vecrollback", "serve", "--store", str(store), "--port", "0", "--json", *arguments]
        process = spawn(command, os.environ | {"VECROLLBACK_ACTOR": "keeper"} | (env or {}), errors=log)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            url = _url(process, log)
            with httpx.Client(base_url=url, timeout=60, headers=headers, verify=NO_TLS) as http:
                _await_ready(url, process, log, patience)
                yield Server(url, process, log, http)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _url(process: subprocess.Popen[str], log: IO[str]) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("}"):
            return str(json.loads(said)["url"])
    log.seek(0)
    raise AssertionError(f"the server did not start: {said}{log.read()}")


def _await_ready(url: str, process: subprocess.Popen[str], log: IO[str], patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        assert process.poll() is None, (log.seek(0), log.read())
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/healthz", timeout=10, verify=NO_TLS).status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError("the server never became ready")


def build(root: Path, *embedders: str, catalog: str | None = None) -> Path:
    """A store whose pairs v1, v2, ... were promoted in order."""
    with connect(root, catalog=catalog, create=True, actor="builder") as store:
        store.upsert(
            Document(f"d{n}", f"{WORDS[n % 5]} of crate {n}, row {n % 7}", {"year": 2000 + n}) for n in range(60)
        )
        for number, embedder in enumerate(embedders, 1):
            store.promote(store.reembed(embedder, name=f"v{number}").wait(), reason="built")
    return root


def make_token(store: Path, role: str, name: str | None = None) -> str:
    with connect(store, actor="tester") as opened:
        return opened.access.create(role, name, actor="tester")[1]  # type: ignore[arg-type]

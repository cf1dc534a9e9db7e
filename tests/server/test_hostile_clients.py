"""A page on the web whose name leads to this machine, and a thousand clients that never end what they send."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.support.http_server import Server, serving
from tests.support.listening import Quiet, listening
from tests.support.waiting import wait_for

_FETCH = """
const [url, options, done] = arguments;
fetch(url, options).then(async r => done([r.status, await r.text()]), error => done([0, String(error)]));
"""
_CLIENTS = 1_000


def _page_of(status: int) -> type[BaseHTTPRequestHandler]:
    class Handler(Quiet):
        timeout = 0.5  # a browser connects ahead of what it will ask, and would go on with this page over it

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>a page on the web</title>")

    return Handler


def test_a_browser_whose_page_is_bound_to_this_machine_reads_and_moves_nothing(own_store: Path) -> None:
    from tests.support.browser import Page, chromium

    def asked(page: Page, url: str, **options: object) -> tuple[int, str]:
        status, text = page.driver.execute_async_script(_FETCH, url, options)
        return status, text

    attack = {"method": "POST", "body": '{"reason": "rebound"}'}
    with chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as page:
        with listening(_page_of(200), to_the_last=True) as web:
            page.open(web.replace("127.0.0.1", "evil.example"))
            assert page.driver.title == "a page on the web"
        # From here on the name and port of that page lead to the server: no token was ever made, so whoever may ask
        # may do everything.
        port = web.rpartition(":")[2]
        with serving(own_store, "--port", port) as server:
            before = server.get("/v1/history").json()
            for path in ("/", "/v1/status", "/v1/history", "/openapi.json"):
                status, text = asked(page, path)
                assert status == 421, (path, status, text)
                assert "v2" not in text
            for kind in ("application/json", "text/plain"):
                status, text = asked(page, "/v1/rollback", **attack, headers={"Content-Type": kind})
                assert status == 421, text
            for name in ("127.0.0.1", "localhost"):  # to its real name a page may send, and read no answer
                url = f"http://{name}:{port}"
                assert asked(page, f"{url}/v1/rollback", **attack, mode="no-cors")[0] == 0
                assert asked(page, f"{url}/v1/status")[0] == 0
            assert server.get("/v1/history").json() == before


@pytest.fixture
def enough_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 4 * _CLIENTS:
        pytest.skip(f"needs {4 * _CLIENTS} open files, and {before[1]} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 4 * _CLIENTS), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{",
    ],
    ids=["nothing", "half a header", "half a body"],
)
@pytest.mark.usefixtures("enough_files")
def test_a_thousand_slow_clients_cost_a_thousand_connections_and_no_more(own_store: Path, begun: bytes) -> None:
    with serving(own_store) as server, ExitStack() as opened:
        assert server.post("/v1/search", {"query": "apples"}).status_code == 200
        before, port = _resident(server), int(server.url.rpartition(":")[2])
        clients = []
        for _ in range(_CLIENTS):
            client = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=120))
            client.sendall(begun)
            clients.append(client)
        for _ in range(20):
            assert server.post("/v1/search", {"query": "apples"}).status_code == 200
        assert _resident(server) - before < 64 << 20
        for client in clients:  # the server ends every one of them by itself
            while client.recv(4_096):
                pass
        wait_for("the connections to be let go", lambda: _open_files(server) < _CLIENTS // 2)
        assert server.post("/v1/search", {"query": "apples"}).status_code == 200
        assert not [entry for entry in server.logged() if "traceback" in entry]


def _resident(server: Server) -> int:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

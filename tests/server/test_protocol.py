"""Connections that send headers without end, or never, or a body drop by drop: each costs itself alone."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="needs the extra server")

from vecrollback.server import middleware, protocol  # noqa: E402
from vecrollback.server.middleware import RequestGuard  # noqa: E402
from vecrollback.server.settings import ServerSettings  # noqa: E402


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers how many bytes the body has."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(params=["the parser that is installed", "h11"])
def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 1.0)
    monkeypatch.setattr(middleware, "_BODY_SECONDS", 1.0)
    parser = protocol.TimedH11Protocol if request.param == "h11" else protocol.bounded_protocol()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    config = uvicorn.Config(RequestGuard(_echo, ServerSettings()), http=parser, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=asyncio.run, args=(server.serve([listening]),))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(10)


def test_an_endless_header_ends_its_own_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        sent = 0
        with pytest.raises(OSError):
            while sent < 64 << 20:
                client.sendall(b"a" * 65_536)
                sent += 65_536
        assert sent < 8 << 20  # what the system's buffers took, not what the server kept
    assert _ask(port, b"abc") == b"3"


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_headers_that_do_not_come_end_the_connection(port: int, begun: bytes) -> None:
    clients = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(20)]
    start = time.monotonic()
    for client in clients:
        client.sendall(begun)
    assert _ask(port, b"abc") == b"3"
    for client in clients:
        assert client.recv(10) == b""
        client.close()
    assert time.monotonic() - start < 8


def test_headers_of_a_later_request_that_do_not_come_end_the_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(_request(b"a"))
        assert _answer(client) == b"1"
        ended = time.monotonic() + 8
        with pytest.raises(OSError):  # drop by drop, so that the connection never counts as idle
            while time.monotonic() < ended:
                client.sendall(b"GET / HTTP/1.1\r\nX-Slow: " if ended - time.monotonic() > 7.9 else b"a")
                time.sleep(0.2)


def test_a_body_that_comes_drop_by_drop_is_given_up(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
        assert b" 500 " in (head := client.recv(100)) or b" 408 " in head
    large = b"b" * 500_000  # headers and much of the body in one block
    assert _ask(port, large) == b"500000"


def test_requests_one_after_the_other_go_on(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for body in (b"a", b"bb", b"ccc"):
            client.sendall(_request(body))
            assert _answer(client) == str(len(body)).encode()
            time.sleep(0.6)  # longer in all than the headers of one request may take


def _request(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def _ask(port: int, body: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(_request(body))
        return _answer(client)


def _answer(client: socket.socket) -> bytes:
    """The body of one answer."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        if end and len(body) == int(head.lower().partition(b"content-length: ")[2].split()[0]):
            return body
        received += (block := client.recv(4096))
        assert block, received

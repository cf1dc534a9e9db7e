"""Object storage on this machine: moto's S3 server in a process of its own, which may go away and come back.

`python -m tests.support.s3_server PORT` serves until its input ends; the lines `down` and `up` stop and start it, with
what it holds.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

_ROOT = Path(__file__).parents[2]
BUCKET = "bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


def available() -> bool:
    return all(find_spec(name) is not None for name in ("moto", "flask", "obstore"))


class ObjectServer:
    """A server with one bucket; `environment` is what a client needs."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.environment = KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.s3_server", str(self.port)],
            cwd=_ROOT,
            env=os.environ | KEYS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._said("up")

    def uri(self, name: str | None = None) -> str:
        """Of a store that nobody used unless it is named."""
        return f"s3://{BUCKET}/stores/{name or uuid4().hex[:12]}"

    def stop(self) -> None:
        """Refuse every connection from now on."""
        self._tell("down")

    def start(self) -> None:
        """Answer again, with everything that was there."""
        self._tell("up")

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=30)
        assert self._process.stdout
        self._process.stdout.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        print(line, file=self._process.stdin, flush=True)
        self._said(line)

    def _said(self, line: str) -> None:
        assert self._process.stdout
        found = self._process.stdout.readline().strip()
        assert found == line, found


@contextmanager
def running() -> Iterator[ObjectServer]:
    server = ObjectServer()
    try:
        yield server
    finally:
        server.close()


def _serve(port: int) -> None:
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    def start() -> ThreadedMotoServer:
        for _ in range(100):
            made = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
            made.start()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return made
            time.sleep(0.05)
        raise TimeoutError(f"nothing listens on {port}")

    server = start()
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket=BUCKET)
    print("up", flush=True)
    for line in sys.stdin:
        if line.strip() == "down":
            server.stop()
        else:
            server = start()
        print(line.strip(), flush=True)
    server.stop()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

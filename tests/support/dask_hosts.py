"""Hosts of their own on this machine: network namespaces on one bridge, whose cables can be pulled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_NETWORK = "10.77.0"
_OPTIONS = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
}
"""A silent worker counts as lost after seconds, not after Dask's five minutes."""


def why_not() -> str:
    """Why there can be no such hosts here; empty where there can."""
    name = f"vr{os.getpid()}t"
    try:
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"needs root and iproute2 for network namespaces: {error}"
    return ""


class Hosts:
    """A host with the scheduler and the driver, and some with a worker each."""

    def __init__(self, workers: int) -> None:
        self._head = f"vr{os.getpid()}h"
        self._workers = [f"vr{os.getpid()}w{n}" for n in range(workers)]
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            self._wire()
            self._serve()
        except BaseException:
            self.close()
            raise

    @property
    def engine(self) -> str:
        return f"dask://{_NETWORK}.1:8786"

    def start(self, *command: str, host: str | None = None) -> subprocess.Popen[bytes]:
        """Run this interpreter on a host, by default the one with the scheduler."""
        line = ["ip", "netns", "exec", host or self._head, sys.executable, *command]
        environment = os.environ | _OPTIONS | {"PYTHONPATH": str(Path.cwd())}
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL, env=environment)
        self._processes.append(process)
        return process

    def cut(self, worker: int) -> None:
        """Pull a worker's cable: nothing is closed, packets just end."""
        _ip("-n", self._head, "link", "set", f"v{worker}", "down")

    def mend(self, worker: int) -> None:
        _ip("-n", self._head, "link", "set", f"v{worker}", "up")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for name in (self._head, *self._workers):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def _wire(self) -> None:
        for name in (self._head, *self._workers):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self._head, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._head, "addr", "add", f"{_NETWORK}.1/24", "dev", "bridge")
        _ip("-n", self._head, "link", "set", "bridge", "up")
        for number, name in enumerate(self._workers):
            cable = ["type", "veth", "peer", "name", "eth0", "netns", name]
            _ip("link", "add", f"v{number}", "netns", self._head, *cable)
            _ip("-n", self._head, "link", "set", f"v{number}", "master", "bridge", "up")
            _ip("-n", name, "addr", "add", f"{_NETWORK}.{10 + number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")

    def _serve(self) -> None:
        scheduler = ("distributed.cli.dask_scheduler", "--host", f"{_NETWORK}.1", "--port", "8786", "--no-dashboard")
        self.start("-m", *scheduler)
        for number, name in enumerate(self._workers):
            worker = ("distributed.cli.dask_worker", f"tcp://{_NETWORK}.1:8786", "--host", f"{_NETWORK}.{10 + number}")
            self.start("-m", *worker, "--nthreads", "1", "--no-nanny", "--no-dashboard", host=name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)

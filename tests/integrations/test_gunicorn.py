"""gunicorn that loads the service before it forks: each worker answers, or says by name that it cannot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.http_server import NO_TLS, QUERIES, V1, V2, build
from tests.support.waiting import wait_for
from vecrollback import connect

pytest.importorskip("gunicorn", reason="needs gunicorn: pip install gunicorn")

ROOT = Path(__file__).parents[2]


def _write_service(folder: Path) -> Path:
    """Run the block of the page that writes `wsgi.py`."""
    text = (ROOT / "docs" / "how-to" / "serve.md").read_text()
    [block] = [one for one in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "wsgi.py" in one]
    subprocess.run([sys.executable, "-c", block], cwd=folder, check=True, timeout=60)
    return folder / "wsgi.py"


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    """The address of the service, with two workers that were forked from one that had loaded it."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{folder}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "--preload", "--workers", "2", "--timeout", "300"]
    command += ["--bind", "127.0.0.1:0"]
    path = folder / "log"
    with (
        path.open("w") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stderr=log) as one,
    ):
        try:
            wait_for("two workers", lambda: path.read_text().count("Booting worker") >= 2, 200)
            yield re.findall(r"Listening at: (http://\S+)", path.read_text())[0]
        finally:
            one.terminate()
            one.wait(60)


def _asked(url: str, count: int) -> list[httpx.Response]:
    """Answers to so many questions, four at a time, each over a connection of its own."""
    answers: list[httpx.Response] = []

    def ask(number: int) -> None:
        for n in range(number, count, 4):
            question = QUERIES[n % len(QUERIES)]
            answers.append(httpx.get(f"{url}/", params={"question": question}, timeout=120, verify=NO_TLS))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_the_service_of_the_page_answers_every_request_and_follows_a_rollback(tmp_path: Path) -> None:
    build(tmp_path / "my-store", V1, V2)
    _write_service(tmp_path)
    with _running(tmp_path) as url, connect(tmp_path / "my-store") as store:
        before = _asked(url, 24)
        store.rollback(reason="no better", catch_up=False)
        after = _asked(url, 24)
    assert [one.status_code for one in before + after] == [200] * 48
    answers: list[dict[str, Any]] = [one.json() for one in before + after]
    assert [one["pair"] for one in answers] == ["v2"] * 24 + ["v1"] * 24
    assert all(len(one["ids"]) == 3 for one in answers)


def test_a_service_that_searched_before_the_fork_is_refused_by_name_and_never_hangs(tmp_path: Path) -> None:
    build(tmp_path / "my-store", V1, V2)
    service = _write_service(tmp_path)
    code = service.read_text().replace("# before the fork; no query yet", '\nstore.search("before the fork")')
    code = code.replace("    result = store.search(question, k=3)\n", _TOLD)
    assert 'store.search("before the fork")' in code and "ForkedError" in code
    service.write_text(code)
    with _running(tmp_path) as url:
        answers = _asked(url, 24)
    assert [one.status_code for one in answers] == [503] * 24
    assert all("forked from one that used them" in one.text for one in answers)


_TOLD = """
    try:
        result = store.search(question, k=3)
    except vecrollback.errors.ForkedError as error:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        return [str(error).encode()]
"""

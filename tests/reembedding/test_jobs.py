"""A job as a handle: what its thread does where nothing more can be written."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from vecrollback import Document, connect
from vecrollback.errors import VecrollbackError


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_whose_store_is_gone_fails_for_who_waits_and_its_thread_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    began, gone = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        began.set()
        gone.wait(30)

    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("d1", "apples")])
        job = store.reembed("hash:16", name="v1", progress=wait)
        assert began.wait(30)
        shutil.rmtree(tmp_path / "store")
        gone.set()
        with pytest.raises(VecrollbackError):
            job.wait(60)
    assert f"how job {job.id} ended is not kept" in caplog.text

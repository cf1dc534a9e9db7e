"""Samples of all workers of a server reach the one that watches."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vecrollback.records import Sample
from vecrollback.server import shared_samples
from vecrollback.server.shared_samples import SharedSamples

_OTHER = """
import sys, time
from pathlib import Path
from vecrollback.records import Sample
from vecrollback.server.shared_samples import SharedSamples
other = SharedSamples(Path(sys.argv[1]))
for n in range(3):
    other._keep(Sample(time.time(), 7, f"häfen {n}", None if n == 2 else 0.5))
"""


def test_samples_of_another_process_are_read_and_are_nobody_elses_to_read(tmp_path: Path) -> None:
    mine = SharedSamples(tmp_path)
    mine._keep(Sample(time.time() - 1, 7, "mine", 0.25))
    subprocess.run([sys.executable, "-c", _OTHER, tmp_path], check=True)
    found = mine.last(60)
    assert [(one.epoch, one.query, one.best) for one in found] == [
        (7, "mine", 0.25),
        (7, "häfen 0", 0.5),
        (7, "häfen 1", 0.5),
        (7, "häfen 2", None),
    ]
    rings = list(tmp_path.glob("samples-*.ring"))
    assert len(rings) == 2
    assert {os.stat(ring).st_mode & 0o777 for ring in rings} == {0o600}


def test_old_ones_are_left_out_and_the_newest_overwrite_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_samples, "_SLOTS", 4)
    monkeypatch.setattr(shared_samples, "_BYTES", 4 * 1_024)
    samples = SharedSamples(tmp_path)
    now = time.time()
    for n in range(6):
        samples._keep(Sample(now - 10 + n, 1, f"query {n}", 0.5))
    assert [one.query for one in samples.last(60)] == ["query 2", "query 3", "query 4", "query 5"]
    assert [one.query for one in samples.last(6.5)] == ["query 4", "query 5"]


def test_a_half_written_sample_and_one_too_long_are_none(tmp_path: Path) -> None:
    samples = SharedSamples(tmp_path)
    samples._keep(Sample(time.time(), 1, "whole", 0.5))
    samples._keep(Sample(time.time(), 1, "torn apart", 0.5))
    samples._memory[1_024 + 35] ^= 1
    samples._keep(Sample(time.time(), 1, "x" * 2_000, 0.5))
    assert [one.query for one in samples.last(60)] == ["whole"]

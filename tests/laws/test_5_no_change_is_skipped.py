"""Law 5. A pair at watermark W reflects every change up to W. Under any history: test_state_machine."""

from __future__ import annotations

import time
from pathlib import Path

import vecrollback
from tests.support.operations import EVERY_ROW
from tests.support.oracle import QUERIES, assert_passes, assert_serves
from tests.support.traffic import start_traffic, stop_traffic
from tests.support.two_pairs import TEXTS


def test_no_change_is_skipped_while_three_processes_write_and_two_catch_up(root: Path) -> None:
    busy = [start_traffic(root, "write", name) for name in ("a", "b", "c")]
    busy += [start_traffic(root, "refresh", name) for name in ("one", "two")]
    ends = time.monotonic() + 5
    with vecrollback.connect(root) as store:
        while time.monotonic() < ends:
            for name in ("one", "two"):
                assert_passes(store.check(name, sample=20))
            assert store.search(QUERIES[0]).hits
        said = stop_traffic(*busy)
        seqs = [fact["seq"] for part in said[:3] for fact in part]
        assert len(seqs) > 30
        assert store.status()["corpus"]["head"] == max(seqs)
        for part in said[3:]:
            assert [f["watermark"] for f in part] == sorted(f["watermark"] for f in part)
        ids = [*TEXTS, *(f"{name}-{n}" for name in "abc" for n in range(23))]
        for name in ("one", "two"):
            store.catch_up(name)
            assert_passes(store.check(name, sample=EVERY_ROW))
        assert_serves(store, {id_: document.text for id_, document in store.get(ids).items()})

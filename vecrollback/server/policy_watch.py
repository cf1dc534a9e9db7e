"""The policy's watch inside a server: the traffic of all, on a thread of its own, in one worker of all."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence

import numpy as np

from vecrollback.errors import UsageError
from vecrollback.records import LIVE, ProgressCallback, Sample
from vecrollback.server.shared_samples import SharedSamples
from vecrollback.server.traffic_series import Series, TimeSpan
from vecrollback.serving.searcher import Searcher
from vecrollback.store.automation.watch import PooledTraffic, ProbedTraffic, Samples, Traffic, Watch
from vecrollback.store.automation.watch.traffic import Volume, sampled_a_second
from vecrollback.store.store import Store
from vecrollback.switching.policy import Policy, load_policy

_log = logging.getLogger(__name__)


class ServedTraffic:
    """What this server answers: counts and samples of all its workers."""

    def __init__(self, series: Series, samples: Samples) -> None:
        self._series, self._samples = series, samples

    def refresh(self) -> None:
        """Nothing to do: it is written to while queries are answered."""

    def volume(self, seconds: float, since: int) -> Volume:
        whole = TimeSpan(0, since)
        for span in self._series.spans(max(1, round(seconds)), step=3_600):
            if span.epoch >= since:
                whole.answers += span.answers
                whole.errors += span.errors
                whole.latency = np.asarray(whole.latency + span.latency)
        return Volume(whole.answers, whole.errors, whole.quantile(0.99), whole.latency.tolist())

    def samples(self, seconds: float) -> list[Sample]:
        return self._samples.last(seconds)

    def hosts(self) -> Sequence[str]:
        return [socket.gethostname()]


class PolicyWatch:
    """The thread that watches, if there is a policy."""

    def __init__(
        self,
        store: Store,
        series: Series,
        searcher: Searcher,
        *,
        file: str | None,
        stopping: Callable[[], bool],
        progress: ProgressCallback,
    ) -> None:
        if series.folder is not None:  # all workers of this server see each other's samples already
            searcher.traffic.origin = f"{socket.gethostname()}/{series.folder.name}"
        policy: Policy | None = None
        try:
            policy = load_policy(store.root, file)
        except UsageError as error:  # it was right when the server started: queries go on
            _log.error("nothing is watched: %s", error)
        a_second = sampled_a_second(policy.interval) if policy else 1
        self.samples = SharedSamples(series.folder, a_second) if series.folder else Samples(a_second=a_second)
        self._thread: threading.Thread | None = None
        if policy is None:
            return
        traffic: Traffic = ServedTraffic(series, self.samples)
        if policy.pool:
            traffic = PooledTraffic(traffic, store, policy, searcher.traffic.origin)
        if policy.probe:
            traffic = ProbedTraffic(traffic, lambda: golden_texts(store), searcher.search, lambda: live_epoch(store))
        watch = Watch(store, policy, traffic, search=searcher.search, stopping=stopping, progress=progress)
        self._thread = threading.Thread(target=watch.run, name="vecrollback-watch", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Wait for the round that is under way; `stopping` is true by now."""
        if self._thread is not None:
            self._thread.join(seconds)


def golden_texts(store: Store) -> list[str]:
    """What the probe asks where there is no traffic."""
    return [query.text for query in store.golden.list()]


def live_epoch(store: Store) -> int:
    target = store.resources.catalog.aliases.get(LIVE)
    return target.epoch if target else 0

"""What a store knows of one model by another: bridges between pairs, and forecasts of a model that has no pair yet.

These are methods of `Store`, which has everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecrollback.errors import PairStateError, UsageError, VecrollbackError
from vecrollback.records import Bridge, Forecast, Pair, ProgressCallback, SnapshotRef, Switched, ThresholdTranslation
from vecrollback.store.helper import aside

if TYPE_CHECKING:
    from vecrollback.quality.forecast import SampleVectors
    from vecrollback.store.parts import Parts

_PATIENCE_SECONDS = 60.0
"""For the lock of the pair that keeps a forecast's vectors."""


class BridgeMethods:
    """The methods of `Store` about bridges and forecasts."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _parts(self) -> Parts: ...
        def pair(self, pair: Pair | str) -> Pair: ...
        def live(self) -> Pair: ...
        def _registered(self, pair: Pair | str, embedder: str) -> Pair: ...

    @aside
    def bridge(
        self, a: Pair | str, b: Pair | str, *, seed: int | None = None, progress: ProgressCallback | None = None
    ) -> Bridge:
        """Learn a map from one pair's model to another pair's space: a way to ask `b` when its own model is gone.

        It is learned from vectors that both pairs hold. Only the queries that measure it are embedded: the golden ones,
        else some that are generated from the corpus. `promote` does this by itself for the pair that is left.

        Args:
            a: The pair whose model will embed the queries, or its name.
            b: The pair in whose space they are to be compared, or its name.
            seed: Of what is drawn for it; None draws anew.
            progress: Called after every batch. An exception that it raises ends the work there; nothing is kept.

        Returns:
            The bridge, with what it was measured to be worth.

        Raises:
            UnknownNameError: There is no such pair.
            UsageError: Both are the same pair.
            PairStateError: The two have too few texts in common, one is not built yet, or `b` is not whole yet.
            EmbeddingError: The model of `a` does not answer.

        Example:
            >>> notes = [Document(f"note-{n}", f"Recipe {n} needs {n * n} eggs.") for n in range(300)]
            >>> store.upsert(notes).written
            300
            >>> for name in ("v1", "v2"):
            ...     caught_up = store.catch_up(name)
            >>> bridge = store.bridge("v2", "v1", seed=1)
            >>> bridge.source, bridge.target, bridge.rows
            ('v2', 'v1', 302)
        """
        from vecrollback.pairs.bridges import fit_bridge
        from vecrollback.quality.stages import Stages

        source, target = self.pair(a), self.pair(b)
        if source.name == target.name:
            raise UsageError(f"both are pair {source.name!r}", hint="name two pairs")
        self._require_whole(target)
        stages = Stages("bridge", progress)
        stages.enter("reading what both hold")
        common = self._parts.bridges.common(source, target, seed=seed)
        stages.enter("fitting the map")
        fitted = fit_bridge(common, target)
        worth = self._parts.bridge_proof.measure(source, target, fitted, seed=seed, stages=stages)
        return self._parts.bridges.keep(source, target, fitted, worth)

    def bridges(self) -> list[Bridge]:
        """List the bridges.

        Returns:
            At most one from each pair to each other one, newest first.

        Example:
            >>> store.bridges()
            []
        """
        return self._parts.catalog.bridges.all()

    def forecast(
        self,
        embedder: str,
        *,
        sample: str | int = "5%",
        seed: int | None = None,
        keep: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Forecast:
        """Tell what a model would be worth before the corpus is embedded by it: a sample is enough.

        Half of the sample are right documents of golden queries, of generated ones where there are none; the other half
        is drawn at random. The live pair is measured in the same way, and as it is: how far the two differ widens the
        interval.

        Args:
            embedder: The model, as for `reembed`, or the name of a pair, whose model it is.
            sample: Documents to embed at most: a number, or a share of the corpus such as "5%".
            seed: Of the draw; None draws anew.
            keep: The name of a pair of this model that keeps what was embedded; `reembed` with this name embeds the
                rest. It is made if it is not there. Default: nothing is written.
            progress: Called after every batch.

        Returns:
            The difference in nDCG@10 with its interval, what mapped queries alone would give, time and money, and the
            verdict: `upgrade`, `bridge`, `stay` or `unknown`.

        Raises:
            UnknownNameError: No pair is live.
            UsageError: The sample, or the number of queries, is too small to say anything.
            EmbeddingError: A model does not answer.
            PairStateError: The live pair serves before it is whole.

        Example:
            >>> notes = [Document(f"note-{n}", f"Recipe {n} needs {n * n} eggs.") for n in range(300)]
            >>> store.upsert(notes, visible=True).written
            300
            >>> store.forecast("hash:256", sample="50%", seed=1).sample
            151
        """
        live, pair = self.live(), self._parts.catalog.pairs.find(embedder)
        self._require_whole(live)
        spec = pair.embedder if pair else embedder
        kept = self._registered(keep, spec) if keep is not None else None

        def write(given: SampleVectors) -> None:
            if kept is not None:
                self._parts.builder.keep(kept.name, given, patience=_PATIENCE_SECONDS)

        return self._parts.forecaster.run(spec, live, str(sample), seed=seed, progress=progress, on_sample=write)

    @aside
    def translate_threshold(
        self, a: Pair | str, b: Pair | str, threshold: float | None = None, *, seed: int | None = None
    ) -> ThresholdTranslation:
        """Translate a score threshold of one pair to another pair: the one that lets the same answers through.

        Both pairs answer the golden queries, up to 300; where there are fewer than 30, or a model does not answer,
        texts that both hold, which embeds nothing. A promote offers it by itself (`Switched.threshold`).

        Args:
            a: The pair whose threshold it is, or its name.
            b: The pair that is to have one, or its name.
            threshold: The score. Default: `score_threshold`, or `threshold`, of the settings of `a`.
            seed: Of what is drawn for it; None draws anew.

        Returns:
            The threshold of `b`, where it may lie, and how many of the answers it keeps.

        Raises:
            UnknownNameError: There is no such pair.
            UsageError: No threshold is given and none is in the settings, or no answer is over it.
            PairStateError: One pair is not built, or not whole yet, or they have too few texts in common.

        Example:
            >>> notes = [Document(f"note-{n}", f"Recipe {n} needs {n * n} eggs.") for n in range(300)]
            >>> store.upsert(notes).written
            300
            >>> for name in ("v1", "v2"):
            ...     caught_up = store.catch_up(name)
            >>> found = store.translate_threshold("v1", "v2", 0.5, seed=1)
            >>> found.kind, found.low <= found.translated <= found.high
            ('documents', True)
        """
        source, target = self.pair(a), self.pair(b)
        for one in (source, target):
            self._require_whole(one)
        return self._parts.thresholds.translate(source, target, threshold, seed=seed)

    def _require_whole(self, pair: Pair) -> None:
        """Raise PairStateError for a pair that serves before it is built: it is not measured by a part of itself."""
        if pair.snapshot and not self._parts.builder.is_whole(pair):
            raise PairStateError(
                f"pair {pair.name!r} is not whole yet: how good its answers are cannot be measured by what it has",
                hint=f"`vecrollback catch-up {pair.name}` builds it, and learns its bridges then",
            )

    def _offered_threshold(self, switched: Switched) -> ThresholdTranslation | None:
        """The threshold of the pair that was left, for the one that serves; None where it cannot be told."""
        from vecrollback.quality.thresholds import setting_of

        if switched.source is None:
            return None
        try:
            left, serving = (self.pair(SnapshotRef.parse(ref).pair) for ref in (switched.source, switched.target))
            if setting_of(left.settings) is None or left.name == serving.name:
                return None
            return self.translate_threshold(left, serving)
        except (VecrollbackError, OSError, ImportError):
            return None  # the move stands, and the offer is no part of it

    def _learn_bridges(self, switched: Switched) -> str:
        """Learn the bridges between what serves now and what a rollback would go to; returns what went wrong.

        On the day that a model dies it is too late: only while both live can it be measured what a bridge is worth.
        """
        from vecrollback.pairs.bridges import LEAST_TEXTS

        if switched.source is None or self._parts.catalog.ledger.state().documents < LEAST_TEXTS:
            return ""
        back, forward = (SnapshotRef.parse(ref).pair for ref in (switched.source, switched.target))
        trouble, whole = [], True
        for a, b in ((forward, back), (back, forward)):
            try:
                whole = self._parts.builder.is_whole(self.pair(b))
                self.bridge(a, b)
            except PairStateError as error:
                trouble.append(f"there is no bridge: {error}")
                if whole:
                    break  # what the two lack in common they lack both ways
            except Exception as error:  # whatever it is: the move stands, and a caller must not take it for failed
                trouble.append(f"there is no bridge from {a} to {b}: {error}")
        return "; ".join(trouble)

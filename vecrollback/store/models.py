"""What a store does with the models of its pairs: keep their files, ask whether they answer, declare two to be one.

These are methods of `Store`, which has everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecrollback.records import KeptModel, ModelAnswer, Pair

if TYPE_CHECKING:
    from vecrollback.catalog import Catalog
    from vecrollback.pairs.resources import Resources


class ModelMethods:
    """The methods of `Store` about models."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _catalog(self) -> Catalog: ...
        @property
        def actor(self) -> str: ...
        @property
        def resources(self) -> Resources: ...
        def pair(self, pair: Pair | str) -> Pair: ...
        def _or_live(self, pair: Pair | str | None) -> Pair: ...

    def equate(self, a: str, b: str) -> float:
        """Declare two embedders to be one model, so that each may use the vectors of the other.

        Args:
            a: A pair's name or an embedder string.
            b: The other one.

        Returns:
            The lowest cosine between the two models' vectors of the same probe texts, from -1 to 1.

        Raises:
            EmbedderChangedError: The two behave differently on the probe texts.

        Example:
            >>> store.equate("v1", "hash:64") > 0.999
            True
        """
        return self.resources.embedders.equate(a, b, actor=self.actor)

    def kept_model(self, pair: Pair | str) -> KeptModel | None:
        """Tell whether the store keeps the files of a pair's model.

        Args:
            pair: The pair, or its name.

        Returns:
            Where they are and how large; None when they are not kept: a service, say, or a model that has no files.

        Raises:
            UnknownNameError: There is no such pair.

        Example:
            >>> store.kept_model("v1")  # `hash:64` has no files
        """
        return self._catalog.models.kept(self.pair(pair).name)

    def keep_model(self, pair: Pair | str) -> KeptModel | None:
        """Keep the files of a pair's model in the store, however large they are. Damaged ones are replaced.

        Args:
            pair: The pair, or its name.

        Returns:
            Where they are and how large; None for a model that has no files to be kept.

        Raises:
            UnknownNameError: There is no such pair.
            EmbedderChangedError: The model is not the one that made the pair.

        Example:
            >>> store.keep_model("v1")
        """
        return self.resources.embedders.keep(self.pair(pair))

    def ask_model(self, pair: Pair | str | None = None) -> ModelAnswer:
        """Ask a pair's model for a few vectors now, as a query would, and record what it did.

        A rollback or restore decides by what was recorded within the last quarter of an hour: it passes over a pair
        whose model did not answer. A worker asks by itself.

        Args:
            pair: The pair, or its name. Default: the live one.

        Returns:
            What the model did: whether it gave the pair's vectors, in how many seconds, and else why not.

        Raises:
            UnknownNameError: There is no such pair, or none is live.

        Example:
            >>> store.ask_model("v1").verdict
            'pass'
        """
        from vecrollback.pairs.model_answers import ask_model

        return ask_model(self._catalog, self.resources.embedders, self._or_live(pair))[0]

    def model_answer(self, pair: Pair | str) -> ModelAnswer | None:
        """Tell what a pair's model did when it was asked last. Asks nothing.

        Args:
            pair: The pair, or its name.

        Returns:
            What it did, with the time; None when nobody asked yet.

        Raises:
            UnknownNameError: There is no such pair.

        Example:
            >>> answer = store.ask_model("v1")
            >>> store.model_answer("v1") == answer
            True
        """
        return self._catalog.models.answer(self.pair(pair).name)

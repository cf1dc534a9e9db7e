"""Cross-encoders of sentence-transformers: `cross-encoder:DIRECTORY`, or `cross-encoder:ORG/MODEL` from the hub.

Arguments: `revision`, `max_length` (tokens of query and text together), `batch_size`, `device`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.embedders.model_files import digest_files, locate
from vecrollback.embedders.models_in_memory import shared_model
from vecrollback.embedders.spec import HUB_NAME, Arguments, Spec
from vecrollback.errors import EmbedderSpecError, EmbeddingError, RerankerError, RerankerSpecError
from vecrollback.records.arrays import FloatArray

KIND = "cross-encoder"
_BATCH = 32


def open_cross_encoder(target: str, arguments: Mapping[str, str]) -> CrossEncoderReranker:
    """Open `cross-encoder:TARGET?...`. The files are read at once, weights with the first query."""
    given = Arguments(arguments)
    try:
        revision = given.text("revision", None)
        device, max_length = given.text("device", None), given.integer("max_length", None, minimum=8)
        batch_size = given.integer("batch_size", _BATCH)
        given.refuse_unknown(KIND)
        of_hub = "/" in target and HUB_NAME.fullmatch(target)
        if not of_hub and not Path(target).expanduser().is_dir():
            raise RerankerSpecError(f"there is no directory {target!r}", hint=f"{KIND}:DIRECTORY, or {KIND}:ORG/MODEL")
        root = locate(Spec(target, KIND, target, given), revision)
    except EmbedderSpecError as error:
        raise RerankerSpecError(str(error).replace("embedder", "reranker"), hint=error.hint) from error
    except EmbeddingError as error:
        raise RerankerError(error.message, hint=error.hint) from error
    digest = digest_files(root)
    return CrossEncoderReranker(str(root), digest, max_length=max_length, batch_size=batch_size, device=device)


class CrossEncoderReranker:
    """A cross-encoder with one label: the model reads query and text as one input.

    Code that a model brings along is never run.
    """

    def __init__(self, root: str, digest: str, *, max_length: int | None, batch_size: int, device: str | None) -> None:
        self._root, self._batch_size = root, batch_size
        self._loading = {"max_length": max_length, "device": device}
        self._shared = shared_model((KIND, root, digest, max_length, device))
        self._model: Any = None
        self._fingerprint = f"{KIND}:{digest[:16]}" + (f":{max_length}" if max_length else "")

    @property
    def fingerprint(self) -> str:
        """The digest of weights, configuration and tokenizer, and the length that texts are cut to."""
        return self._fingerprint

    def scores(self, query: str, texts: Sequence[str]) -> FloatArray:
        """One score for each text, as `CrossEncoder.predict` gives it. Raises RerankerError."""
        with self._shared.lock:  # tokenizers and torch modules do not promise to be safe between threads
            try:
                model = self._loaded()
                pairs = [(query, text) for text in texts]
                answer = model.predict(pairs, batch_size=self._batch_size, show_progress_bar=False)
            except Exception as error:  # torch, transformers and safetensors raise whatever comes to them
                raise RerankerError(
                    f"the reranker in {self._root} does not work: {error}",
                    hint="try it in Python: sentence_transformers.CrossEncoder(DIRECTORY).predict([(query, text)])",
                ) from error
        scores = np.asarray(answer, np.float32)
        if scores.shape != (len(texts),) or not np.isfinite(scores).all():
            raise RerankerError(
                f"the reranker in {self._root} does not give one number for each text",
                hint="take a cross-encoder with one label, as those trained for ranking are",
            )
        return scores

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = self._shared.model
        if self._model is None:
            from sentence_transformers import CrossEncoder

            self._model = CrossEncoder(self._root, local_files_only=True, **self._loading)
            self._shared.keep(self._model)
        return self._model

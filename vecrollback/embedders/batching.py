"""Running a transformer over many texts: batches of like size in tokens, the next one tokenised meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np


def batches(lengths: Sequence[int], tokens: int, most: int | None = None) -> list[Sequence[int]]:
    """Places of texts, grouped so that a batch is padded little and costs about the same as any other.

    A batch holds at most `tokens` tokens, padding included, and at most `most` texts; never less than one text. The
    longest come first: what does not fit into memory shows at once.
    """
    # Like lengths side by side, so that little of a batch is padding.
    order = np.argsort(lengths, kind="stable")[::-1].tolist()
    begins = [0]
    for place in range(len(order)):
        longest, count = lengths[order[begins[-1]]], place - begins[-1]
        if count and ((count + 1) * longest > tokens or count == most):
            begins.append(place)
    return [order[a:b] for a, b in pairwise([*begins, len(order)])]


def encode(model: Any, texts: Sequence[str], groups: Sequence[Sequence[int]], *, prompt: str, task: str) -> Any:
    """Vectors of a SentenceTransformer in the order of `texts`, a tensor on its device.

    What `encode` of the library does for each batch, with the batches given: it takes a number of texts only.
    """
    import torch
    from sentence_transformers.util import batch_to_device, truncate_embeddings

    model.eval()
    parts = []
    with torch.inference_mode():
        for features in _tokenised(model, [[texts[i] for i in group] for group in groups], prompt, task):
            vectors = model(batch_to_device(features, model.device), task=task)["sentence_embedding"]
            parts.append(vectors if model.truncate_dim is None else truncate_embeddings(vectors, model.truncate_dim))
        # Back from the order of the batches to the order of the texts.
        order = np.argsort([place for group in groups for place in group])
        return torch.cat(parts)[torch.as_tensor(order, device=parts[0].device)]


def _tokenised(model: Any, parts: Sequence[list[str]], prompt: str, task: str) -> Iterator[Any]:
    """The features of each batch, one batch ahead."""
    if len(parts) == 1:
        yield model.preprocess(parts[0], prompt=prompt, task=task)
        return
    with ThreadPoolExecutor(1, "vecrollback-tokenise") as pool:
        features: Future[Any] | None = None
        for part in parts:
            following = pool.submit(model.preprocess, part, prompt=prompt, task=task)
            if features is not None:
                yield features.result()
            features = following
        if features is not None:
            yield features.result()

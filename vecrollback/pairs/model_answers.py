"""Asking a pair's model whether it answers now, and recording what it did.

A pair that is rolled back to answers nothing while its model is away. A switch may not find that out by itself: it
loads no model and waits for no network. So whoever has time asks beforehand (a worker every few minutes, the way back
before each promote, a drill) and writes down what the model did, with the time. The switch reads that.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping

from vecrollback.catalog import Catalog, now
from vecrollback.embedders.riding_probes import QueryProbes
from vecrollback.embedders.server_words import differences
from vecrollback.errors import EmbedderChangedError, MissingDependencyError, VecrollbackError, in_words
from vecrollback.pairs.embedders import PairEmbedders
from vecrollback.records import ModelAnswer, ModelVerdict, Pair

_log = logging.getLogger(__name__)


def ask_model(catalog: Catalog, embedders: PairEmbedders, pair: Pair) -> tuple[ModelAnswer, ModelAnswer | None]:
    """Let a pair's model embed a few short queries now, and record what it did.

    It costs about forty tokens, and no longer than a query may take where the model is behind a service. The first time
    in a process the model is loaded. Raises nothing that the model raises.

    Returns:
        What it did, and what it had done when it was asked before that.
    """
    start = time.monotonic()
    verdict, sentence = _ask(catalog, embedders, pair)
    seconds = time.monotonic() - start
    answer = ModelAnswer(pair.name, verdict, sentence, now(), round(seconds, 4), socket.gethostname())
    return answer, catalog.models.note(answer)


def _ask(catalog: Catalog, embedders: PairEmbedders, pair: Pair) -> tuple[ModelVerdict, str]:
    try:
        # Also where it is loaded already: a searcher that starts tomorrow needs the files.
        embedder = embedders.require_source(pair)
        QueryProbes(embedder, embedders.probes(pair) if pair.probes else None, pair.probe_floor).ask()
        note = _heard(catalog, embedders, pair, getattr(embedder, "server_words", dict)())
    except (MissingDependencyError, ImportError) as error:
        return "unknown", f"this host cannot ask it: {error}"
    except (VecrollbackError, OSError) as error:
        return "fail", str(error)
    except Exception as error:  # an embedder of the user's own may raise anything
        return "fail", in_words(error)
    from_store = embedder.spec != pair.embedder and embedders.kept.find(pair) is not None
    return "pass", ("it answers, from the files that the store keeps" if from_store else "it answers") + note


def _heard(catalog: Catalog, embedders: PairEmbedders, pair: Pair, words: Mapping[str, str]) -> str:
    """Take down what the server tells of its model. Where it told something else before, prove the model whole.

    Returns what to say about it. Raises EmbedderChangedError, and then the words of before stay: the next one who asks
    proves it again.
    """
    before = catalog.models.words().get(pair.name, {})
    changed = differences(before, words)
    if changed:
        _log.warning("the server of %s tells %s: its model is proven anew", pair.embedder, changed)
        try:
            embedders.prove(pair)
        except EmbedderChangedError as error:
            raise EmbedderChangedError(f"{error.message}; its server tells {changed}", hint=error.hint) from error
    if {**before, **words} != before:
        catalog.models.note_words(pair.name, {**before, **words})
    return f"; its server tells {changed}, and all probes agree" if changed else ""

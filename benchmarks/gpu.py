"""How much of an accelerator does re-embedding use?

A model of the size of all-MiniLM-L6-v2 and one of the size of BERT base are built from their configurations, with
random weights and a tokenizer trained on the texts: speed does not depend on what the weights say. Each is re-embedded
with by the product in bfloat16, through the store, by one worker for every GPU where there are several; told are
documents and tokens a second and the share of the measured matrix-multiply ceiling, for the whole job and for the model
alone. Without a GPU it runs on the processor, which says that it works and little else.
Aim: above 0.25 of the ceiling on a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common

from vecrollback import Document, connect
from vecrollback.embedders import open_embedder
from vecrollback.records import Effort

_SIZES: dict[str, dict[str, int]] = {
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "bert_base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
}


def main() -> None:
    import torch

    options = common.options(__doc__)
    gpus = torch.cuda.device_count()
    count = 100 if options.small else 60_000 if gpus else 200
    rows = common.rows(count)
    measured: dict[str, Any] = {"gpus": gpus, "documents": count}
    measured["device"] = torch.cuda.get_device_name(0) if gpus else "processor"
    with common.workspace(options.keep) as root, connect(root / "store", create=True) as store:
        store.upsert([Document(row.id, row.whole) for row in rows])
        for name, size in _SIZES.items():
            made = _model(root / name, size, [row.whole for row in rows[:5_000]])
            spec = f"{made}?precision=bfloat16"
            effort = Effort(f"local:{gpus}") if gpus > 1 else Effort()
            started = time.perf_counter()
            job = store.reembed(spec, name=name, index="Flat", effort=effort)
            job.wait()
            seconds = time.perf_counter() - started
            told = job.status().progress
            measured[name] = {
                "documents_per_second": round(count / seconds, 1),
                "tokens_per_second": told["tokens_per_second"],
                "share_of_ceiling": told["share_of_ceiling"],
                "model_alone": _alone(spec, [row.whole for row in rows[: 16_384 if gpus else count]]),
            }
            print(f"{name}: {measured[name]}", flush=True)
    common.conclude("gpu", measured, small=options.small)


def _alone(spec: str, texts: Sequence[str]) -> dict[str, float]:
    """The same texts in one call of the embedder, which is warm: what the store could reach at most."""
    embedder = open_embedder(spec)
    embedder.embed_documents(texts[:8])
    started = time.perf_counter()
    embedder.embed_documents(texts)
    seconds = time.perf_counter() - started
    ideal = embedder.ideal_seconds(texts)  # type: ignore[attr-defined]
    embedder.close()
    return {"documents_per_second": round(len(texts) / seconds, 1), "share_of_ceiling": round(ideal / seconds, 4)}


def _model(folder: Path, size: dict[str, int], texts: Sequence[str]) -> Path:
    """A sentence-transformers directory of a BERT with random weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    trained = BertWordPieceTokenizer()
    trained.train_from_iterator(texts, vocab_size=30_522, show_progress=False)
    torch.manual_seed(1)
    plain = folder / "transformer"
    BertModel(BertConfig(vocab_size=30_522, **size)).save_pretrained(plain)
    BertTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=256).save_pretrained(plain)
    transformer = Transformer(str(plain))
    transformer.max_seq_length = 256
    pooling = Pooling(size["hidden_size"], pooling_mode="mean")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder / "model"))
    return folder / "model"


if __name__ == "__main__":
    main()

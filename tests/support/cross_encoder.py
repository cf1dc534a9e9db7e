"""A small cross-encoder that was really trained: on questions of the demo and the texts that answer them.

No package that can be installed here carries the weights of a published one. This one has the same form as they do
(BERT with one label, WordPiece), two layers of 64 numbers, and learns within seconds which text answers most of twelve
questions. It knows those and nothing else.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

_DATA = Path(__file__).resolve().parents[2] / "vecrollback" / "cli" / "demo_story" / "data"
_LENGTH, _STEPS, _QUESTIONS = 48, 30, 12


def texts() -> dict[str, str]:
    """The demo's documents."""
    rows = (json.loads(line) for line in (_DATA / "corpus.jsonl").read_text().splitlines())
    return {row["id"]: f"{row['title']}\n{row['text']}" for row in rows}


def known() -> dict[str, str]:
    """The questions that it learns, each with the text that answers it."""
    rows = (json.loads(line) for line in (_DATA / "queries.jsonl").read_text().splitlines())
    asked, stored = {row["id"]: row["text"] for row in rows}, texts()
    judged = (line.split("\t") for line in (_DATA / "qrels.tsv").read_text().splitlines()[1:])
    first = {document: query for query, document, _ in judged}  # one question for each text
    return {asked[query]: stored[document] for document, query in islice(first.items(), _QUESTIONS)}


def train(folder: Path, *, seed: int = 1) -> Path:
    """Write a cross-encoder into a folder, as `CrossEncoder.save_pretrained` would; returns it."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=_LENGTH,
        num_labels=1,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    asked, answers = zip(*known().items(), strict=True)
    pairs = [(question, answer) for question in asked for answer in answers]
    words = tokenizer(pairs, padding=True, truncation="only_second", max_length=_LENGTH, return_tensors="pt")
    right = torch.arange(len(asked))
    for _ in range(_STEPS):
        scores = model(**words).logits.reshape(len(asked), len(answers))
        entropy = torch.nn.functional.cross_entropy  # which text answers a question, and which question asks for a text
        loss = entropy(scores, right) + entropy(scores.T, right)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    trained = BertWordPieceTokenizer()
    trained.train_from_iterator([*texts().values(), *known()], vocab_size=2_000, show_progress=False)
    return BertTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=_LENGTH)

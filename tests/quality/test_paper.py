"""Papers that one hands round: when and by which command they were made, a verdict, what to do next, on any screen.

Covers quality.doctor.next_steps, quality.doctor.page, quality.doctor.plots.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from pathlib import Path

import pytest

import vecrollback
from vecrollback import Document
from vecrollback.quality.doctor import Examination
from vecrollback.quality.doctor.next_steps import next_steps
from vecrollback.quality.doctor.outcome import Point, SourceFinding
from vecrollback.quality.doctor.page import page as doctor_page
from vecrollback.quality.evaluation import page as comparison_page
from vecrollback.quality.paper import origin, ticks
from vecrollback.records import Comparison, GoldenQuery

COMMAND = ["vecrollback", "doctor", "postgresql://me:secret@db/app#docs", "--model", "it's a model"]
FOREIGN = SourceFinding("foreign_vector", 20, ("d1", "d2"), {}, "the model does not make these vectors")
TWICE = SourceFinding("duplicate_id", 2, (), {}, "rows that share their id with another", "warn")


_LEAST_WORDS = """
return Math.min(...[...document.querySelectorAll("svg text")].filter((node) => node.textContent)
  .map((node) => node.getBoundingClientRect().height));
"""


def examination(*findings: SourceFinding, verdict: str = "fail", model: str | None = "m") -> Examination:
    points = tuple(Point(f"d{n}", n / 7, n % 5, n > 20) for n in range(25))
    return Examination(
        "docs.npy",
        400,
        64,
        verdict,  # type: ignore[arg-type]
        findings,
        None,
        model,
        {"metric": None, "stored": "float32"},
        lengths=tuple(1 + n / 50 for n in range(50)),
        points=points,
    )


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """v2 knows eight directions only."""
    with vecrollback.connect(tmp_path_factory.mktemp("store"), create=True) as store:
        store.upsert(Document(f"d{i}", f"crate {i} holds apples of row {i % 7}, word{i * i % 53}") for i in range(60))
        for name, embedder in (("v1", "hash:256?seed=1"), ("v2", "hash:8?seed=2")):
            store.reembed(embedder, name=name).wait()
        queries = [GoldenQuery(str(i), f"crate {i} word{i * i % 53}", {f"d{i}": 1}) for i in range(30)]
        return store.quality.compare("v1", "v2", queries)


def test_a_paper_says_when_and_by_which_command_it_was_made_and_no_password() -> None:
    said = origin(COMMAND)
    [made] = re.findall(r'datetime="([^"]+)"', said)
    assert abs(dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(made)) < dt.timedelta(hours=1)
    assert "vecrollback doctor" in said
    assert "secret" not in said
    assert "&#x27;it&#x27;&quot;&#x27;&quot;&#x27;s a model&#x27;" in said  # as a shell takes it, as HTML shows it
    assert "<code>" not in origin([])


def test_a_verdict_is_a_sentence_of_the_finding_that_it_rests_on() -> None:
    assert "<strong>fail</strong> 20 of 400: the model does not make these vectors." in doctor_page(
        examination(TWICE, FOREIGN)
    )
    assert "Nothing is wrong with the 400 vectors" in doctor_page(examination(verdict="pass"))
    assert "unknown is not OK" in doctor_page(examination(verdict="unknown"))


def test_next_steps_are_those_of_the_findings_the_gravest_first() -> None:
    assert "vecrollback adopt" in next_steps(examination(TWICE, FOREIGN))[0]
    assert next_steps(examination(FOREIGN))[-1] == "Then examine again: the verdict should be `pass`."
    [only] = next_steps(examination(verdict="pass"))
    assert only.startswith("Nothing has to be mended")
    assert any("--model MODEL" in step for step in next_steps(examination(verdict="unknown", model=None)))


def test_a_comparison_says_which_pair_is_better_and_what_follows(comparison: Comparison) -> None:
    text = comparison_page(comparison, ["vecrollback", "compare", "v1", "v2"])
    assert "v2@1 answers worse than v1@1" in text
    assert "Do not let v2 serve." in text
    assert "<code>vecrollback compare v1 v2</code>" in text


@pytest.mark.parametrize("kind", ["doctor", "compare"])
def test_every_picture_has_a_scale(kind: str, comparison: Comparison) -> None:
    text = doctor_page(examination(FOREIGN)) if kind == "doctor" else comparison_page(comparison)
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) >= 2
    for picture in pictures:
        numbers = re.findall(r"<text[^>]*>([+-]?[\d.,]+(?:e[+-]?\d+)?)</text>", picture)
        assert len(numbers) >= 3, picture[:200]


def test_a_scale_begins_and_ends_where_it_should() -> None:
    assert list(ticks(-1.0, 1.0)) == [-1.0, -0.5, 0.0, 0.5, 1.0]


@pytest.mark.browser
@pytest.mark.slow
def test_papers_fit_a_phone_and_a_desk_and_axe_finds_nothing_serious(comparison: Comparison, tmp_path: Path) -> None:
    from tests.support.browser import chromium

    pages = {
        "doctor": doctor_page(examination(TWICE, FOREIGN), COMMAND),
        "compare": comparison_page(comparison, COMMAND),
    }
    with chromium() as browser:
        for name, text in pages.items():
            (tmp_path / f"{name}.html").write_text(text)
            browser.open((tmp_path / f"{name}.html").as_uri())
            for pixels, scheme in itertools.product((390, 1280), ("light", "dark")):
                with browser.width(pixels):
                    browser.prefer(scheme)
                    wide = browser.run("return document.documentElement.scrollWidth")
                    assert wide <= pixels, f"{name} is {wide} pixels wide on a screen of {pixels}"
                    least = browser.run(_LEAST_WORDS)
                    assert least >= 9, f"words of {least} pixels in a picture of {name} at {pixels}"
                    assert browser.serious_findings() == []

"""Commands on embedders: show, equate, keep, ask."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.session import Session, command, common

if TYPE_CHECKING:
    from vecrollback.embedders.trial import Trial

app = typer.Typer(callback=common, help="Show, measure or equate embedders; keep or ask a pair's model.")


@command(
    app,
    returns="{spec, fingerprint, dimension, metric, contract}",
    examples=["embedder show sentence-transformers/all-MiniLM-L6-v2", "embedder show 'hash:64?seed=1'"],
)
def show(session: Session, spec: Annotated[str, typer.Argument(help="The embedder, as `reembed` takes it.")]) -> None:
    """Show what an embedder is: its fingerprint, and everything that can change one of its vectors."""
    from vecrollback.embedders import open_embedder

    embedder = open_embedder(spec)
    facts = {
        "spec": embedder.spec,
        "fingerprint": embedder.fingerprint,
        "dimension": embedder.dimension,
        "metric": embedder.metric,
    }
    contract = dict(embedder.contract)
    embedder.close()
    session.emit({**facts, "contract": contract}, lambda: [render.facts(facts), "", "contract", render.facts(contract)])


@command(
    app,
    returns="{a, b, cosine}",
    examples=["embedder equate v1 'openai:all-minilm?base_url=http://gpu:8000/v1'"],
)
def equate(
    session: Session,
    a: Annotated[str, typer.Argument(help="A pair's name or an embedder.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
) -> None:
    """Declare two embedders to be one model behind two servers or runtimes; refused unless their probes agree."""
    with session.store() as store:
        cosine = store.equate(a, b)
    line = f"{a} and {b} are one model: the worst probe has cosine {cosine:.6f}"
    session.emit({"a": a, "b": b, "cosine": cosine}, lambda: [line])


@command(app, returns="{pair, artifact, bytes, at}, or null for a model without files", examples=["embedder keep v1"])
def keep(session: Session, pair: Annotated[str, typer.Argument(help="The pair's name.")]) -> None:
    """Keep the files of a pair's model in the store, so that nothing that happens to the original changes the pair."""
    with session.store() as store:
        kept = store.keep_model(pair)
    line = f"kept the model of {pair}: {kept.bytes:,} bytes" if kept else f"the model of {pair} has no files to be kept"
    session.emit(asdict(kept) if kept else None, lambda: [line])


@command(
    app,
    "try",
    returns="{spec, dimension, characters, tokens, beyond, texts, texts_limited, noise, depends_on_batch, symmetric, "
    "shortest, longest, requests, sent, profile}",
    examples=["embedder try 'service:m?base_url=http://host:8080/v1' --write local", "embedder try profile:voyage"],
)
def try_(
    session: Session,
    spec: Annotated[str, typer.Argument(help="The embedder, as `reembed` takes it.")],
    write: Annotated[
        str, typer.Option("--write", metavar="NAME", help="Write what was measured to [embedder.NAME].")
    ] = "",
    longest: Annotated[
        int, typer.Option("--longest", metavar="CHARACTERS", help="The longest text to try.", min=256)
    ] = 65_536,
    texts: Annotated[int, typer.Option("--texts", metavar="N", help="The most texts in one request to try.", min=1)] = (
        2_048
    ),
) -> None:
    """Measure a service or model: limits, noise, roles, lengths; write its profile.

    It takes a few dozen requests, and says how many.
    """
    from vecrollback.embedders.service_profile import write_table
    from vecrollback.embedders.trial import try_embedder

    trial = try_embedder(spec, longest=longest, most_texts=texts)
    table = trial.profile(write) if write else ""
    path = write_table(write, table) if write else None
    names = (
        "spec dimension characters tokens beyond texts texts_limited noise depends_on_batch symmetric shortest longest"
    )
    payload = {name: getattr(trial, name) for name in [*names.split(), "requests", "sent"]} | {"profile": table}
    session.emit(
        payload, lambda: [render.facts(_measured(trial)), *(["", f"written to {path}:", table] if path else [])]
    )


def _measured(trial: Trial) -> dict[str, str]:
    """What a trial found, for people."""
    rest = {"read": "all that was tried", "cut": "the rest is cut without a word", "refused": "longer ones are refused"}
    facts = {
        "dimension": f"{trial.dimension}",
        "reads": f"{trial.characters:,} characters of English ({trial.tokens:,} tokens); {rest[trial.beyond]}",
    }
    if trial.texts:
        facts["one request"] = f"{trial.texts:,} texts" + ("" if trial.texts_limited else ", the most that was tried")
    beside = f"a text's vector changes by {trial.batch_effect:.1e} with what stands beside it"
    return facts | {
        "noise": f"{trial.noise:.1e} between calls (1 - cosine)",
        "batch": beside if trial.depends_on_batch else "a text's vector does not depend on what stands beside it",
        "roles": "queries and documents get the same vectors: see whether the model wants a prompt or an input_type"
        if trial.symmetric
        else f"queries and documents differ by up to {trial.role_difference:.2f} (1 - cosine)",
        "length": f"{trial.shortest:.4f} to {trial.longest:.4f}",
        "took": f"{trial.requests} requests, {trial.sent:,} characters",
    }


@command(app, returns="{pair, verdict: pass|fail|unknown, said, at, seconds, host}", examples=["embedder ask v1"])
def ask(
    session: Session, pair: Annotated[str | None, typer.Argument(help="The pair. Default: the live one.")] = None
) -> None:
    """Ask a pair's model whether it answers now, with the vectors that made the pair; exit code 1 unless it does.

    A rollback passes over a pair whose model did not answer when it was asked lately.
    """
    with session.store() as store:
        answer = store.ask_model(pair)
    word = {"pass": "answers", "fail": "does not answer", "unknown": "cannot be asked"}[answer.verdict]
    line = f"the model of {answer.pair} {word} ({answer.seconds:.2f} s): {answer.said}"
    session.emit(asdict(answer), lambda: [line])
    if answer.verdict != "pass":
        raise typer.Exit(1)

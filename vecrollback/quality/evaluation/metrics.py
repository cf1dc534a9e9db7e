"""Measures of rankings. Those against judgements are computed by ir-measures, over trec_eval's own code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vecrollback.records import GoldenQuery

JUDGED = {"ndcg": "nDCG", "recall": "R", "mrr": "RR", "precision": "P", "judged": "Judged"}
"""What a gate calls a measure -> what ir-measures calls it."""

PERSISTENCE = 0.9
"""Of rank-biased overlap: the first ten ranks then carry 86% of its weight."""

Ranking = Sequence[str]
"""Document ids, the best first."""


def judged_values(
    queries: Sequence[GoldenQuery], rankings: Sequence[Ranking], k: int, names: Iterable[str]
) -> list[dict[str, float]]:
    """For each query measure `NAME@K` -> value; empty for one without a right answer.

    A document without judgement counts as wrong.
    """
    import ir_measures

    measures = {ir_measures.parse_measure(f"{JUDGED[name]}@{k}"): f"{name}@{k}" for name in names}
    by_number = {str(n): (query, ids[:k]) for n, (query, ids) in enumerate(zip(queries, rankings, strict=True))}
    with_judgement = {n: (query, ids) for n, (query, ids) in by_number.items() if query.judged}
    qrels = {n: dict(query.expected) for n, (query, _) in with_judgement.items()}
    # Scores by rank: trec_eval sorts by score, and would settle ties by id, not as the pair did. From the last to the
    # first, so that an id of several namespaces counts where it stands first.
    run = {
        n: {id_: float(k - rank) for rank, id_ in reversed([*enumerate(ids)])} for n, (_, ids) in with_judgement.items()
    }
    values = {n: dict.fromkeys(measures.values(), 0.0) if n in with_judgement else {} for n in by_number}
    for metric in ir_measures.iter_calc(list(measures), qrels, run) if with_judgement else ():
        values[metric.query_id][measures[metric.measure]] = float(metric.value)
    return [values[str(n)] for n in range(len(queries))]


def unjudged(queries: Sequence[GoldenQuery], rankings: Sequence[Ranking]) -> float:
    """Share of the answers to judged queries that nobody judged; 0.0 without any."""
    pairs = [(query.expected, id_) for query, ids in zip(queries, rankings, strict=True) if query.judged for id_ in ids]
    return sum(id_ not in expected for expected, id_ in pairs) / len(pairs) if pairs else 0.0


def rank_biased_overlap(a: Ranking, b: Ranking, p: float = PERSISTENCE) -> float:
    """How alike two rankings are, the first ranks counting most: 1.0 for equal ones, 0.0 for disjoint ones.

    The extrapolated form, RBO_ext, for lists of any two lengths: Webber, Moffat and Zobel, "A similarity measure for
    indefinite rankings", ACM TOIS 28(4), 2010, equation 32.
    """
    short, long = sorted((a, b), key=len)
    if not short:
        return float(not long)
    s, l = len(short), len(long)  # noqa: E741
    common = _common(short, long)
    agreement = sum(common[d] / d * p**d for d in range(1, l + 1))
    agreement += sum(common[s] * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * agreement + ((common[l] - common[s]) / l + common[s] / s) * p**l


def _common(short: Ranking, long: Ranking) -> list[int]:
    """At each depth from 0: how many ids both have within it, or within all of the shorter list."""
    one, other, counts = set[str](), set[str](), [0]
    for depth in range(len(long)):
        one.update(short[depth : depth + 1])
        other.add(long[depth])
        counts.append(len(one & other))
    return counts


def means(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each measure over the queries that have it."""
    filled = [one for one in values if one]
    return {name: sum(one[name] for one in filled) / len(filled) for name in (filled[0] if filled else ())}

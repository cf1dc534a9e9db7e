"""What somebody who has read an examination does next: of each kind of finding its cure, the gravest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vecrollback.quality.doctor.outcome import Examination

_CURES: Mapping[str, str] = {
    "foreign_vector": "Have the foreign vectors embedded again by one model: `vecrollback adopt SOURCE --model MODEL "
    "--name NAME` does it in a store of its own, and leaves the source as it is; their ids are in the table below.",
    "rows_misaligned": "Do not embed anything again. Bring texts and vectors side by side again from the row that is "
    "named, from the place that has both, and examine again.",
    "other_text": "Examine again with the `--template` that is named: the vectors may all be right.",
    "cannot_tell": "Examine the vectors where they came from, before they were made coarser; these say too little.",
    "dimension_differs": "Embed the rows of another size again, and find out what writes them: it uses another model.",
    "missing_vector": "Embed the rows again that have no vector: no search finds them.",
    "invalid_vector": "Embed the rows again that hold NaN or infinity: they can spoil every answer.",
    "zero_vector": "Embed the rows again that are zero: a cosine with them means nothing.",
    "lengths_mixed": "Bring all vectors to one length, or search by cosine.",
    "mixed_models": "Examine again with `--model` to learn which of the names is true; then embed the others again.",
    "stamp_differs": "Compare the stamp with the model that the application loads today; one of the two is wrong.",
    "unreadable": "Have the place itself checked: rows that cannot be read may be lost. Then examine again.",
    "missing_text": "Name where the texts are (`--texts FILE`), so that every vector can be examined.",
}
_NO_MODEL = "Say which model should have made the vectors: `vecrollback doctor SOURCE --model MODEL`. Without it only "
_NO_MODEL += "what shows without a model was looked at."
_WELL = (
    "Nothing has to be mended. `vecrollback adopt SOURCE --model MODEL --name NAME` gives this index a way back before "
)
_WELL += "the next change of its model."
_SEVERITIES = ("fail", "unknown", "warn")


def next_steps(examination: Examination) -> Sequence[str]:
    """Sentences with commands between backticks; at least one."""
    by_severity = sorted(examination.findings, key=lambda one: _SEVERITIES.index(one.severity))
    kinds = dict.fromkeys(one.kind for one in by_severity)
    steps = [_CURES[kind] for kind in kinds if kind in _CURES]
    if examination.model is None:
        steps.append(_NO_MODEL)
    if examination.verdict == "pass" and not steps:
        return [_WELL]
    steps.append("Then examine again: the verdict should be `pass`.")
    return steps

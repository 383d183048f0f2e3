"""The probe card: what was probed, how, and what may be said of it, as Markdown behind Hugging Face front matter."""

from collections.abc import Iterable, Sequence
from typing import Any

from slitlamp.paper.answers import READS, answer, asked, used, warnings_of
from slitlamp.paper.design import marked
from slitlamp.paper.gathered import Claim, Gathered
from slitlamp.paper.methods import REFERENCES, licence, markdown_text, paragraphs, plain
from slitlamp.reports.text import listed

LIBRARY = "slitlamp"
PRIVACY = (
    "This card holds aggregated scores, names of classes and of columns, and no image, no identifier of an item and no "
    "prediction; its commands name paths as they were typed. Features and held-out predictions of patients are "
    "personal data where they are kept: they inherit the terms of the images."
)
OUT_OF_SCOPE = (
    "No statement on a language model behind the encoder, on other images than these, on single images, or on "
    "clinical use."
)


def card(gathered: Gathered, command: str, title: str = "") -> str:
    """The card as Markdown, behind its front matter."""
    whole = title or "Probe card"
    parts = [f"# {markdown_text(whole)}", "", *_body(gathered, command)]
    return f"---\n{front_matter(gathered, whole)}---\n\n" + "\n".join(parts).rstrip() + "\n"


def front_matter(gathered: Gathered, title: str) -> str:
    """YAML that the Hub reads: library, tags, encoders, and a result for each claim."""
    from huggingface_hub import EvalResult, ModelCardData

    claims = [claim for claim in gathered.claims if not claim.control]
    results = [
        EvalResult(
            task_type="linear-probe", task_name=asked(c.task), dataset_type="other", dataset_name=c.question["source"],
            dataset_config=c.task, dataset_revision=c.best.data_key,
            metric_type=c.best.metric.replace(" ", "_"), metric_name=f"{c.best.metric}, {c.encoder}",
            metric_value=round(c.score, 4), verified=False,
        )
        for c in claims
    ]  # fmt: skip
    licences = {licence(c.encoder, c.best.weights) for c in claims}
    one = next(iter(licences)).lower() if len(licences) == 1 else ""
    data = ModelCardData(
        library_name=LIBRARY,
        license=one if one in KNOWN else "other",
        tags=["linear-probe", "medical-imaging", "probe-card"],
        base_model=repositories(claims) or None,
        model_name=_flat(title),
        eval_results=results or None,
    )
    return data.to_yaml(line_break="\n") + "\n"


KNOWN = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0")  # licences that the Hub names


def _flat(text: str) -> str:
    return " ".join(text.split())


def repositories(claims: Sequence[Claim]) -> list[str]:
    """The repositories on a hub that the weights of encoders come from, as their records name them."""
    parts = [part for claim in claims for part in claim.best.weights.split(", ")]
    return list(dict.fromkeys(part.partition("@")[0] for part in parts if "@" in part))


def _body(gathered: Gathered, command: str) -> Iterable[str]:
    claims = gathered.claims
    if not claims:
        yield "No encoder was probed in these runs."
        return
    yield "## What was found"
    yield ""
    for claim in claims:
        state = READS[claim.said]
        yield f"- **{markdown_text(gathered.label(claim))}: {state}.** {markdown_text(_capital(answer(claim)))}"
    yield ""
    yield markdown_text(used(claims))
    yield ""
    yield from _section("Limits that must be seen", [*_limits(claims), *gathered.failed])
    said = {head: [plain(one) for one in some] for head, some in paragraphs(gathered).items()}
    yield from _section("Encoders", [*_encoders(claims), *said["Encoders"]])
    yield from _section("Data and preprocessing", [*said["Data"], *_keys(claims)])
    yield from _section("Probe and statistics", [*said["Probing"], *said["Statistics"]])
    yield from _section("Controls", _controls(claims))
    yield from _section("Known shortcuts", _shortcuts(claims))
    yield from _section("Out of scope", [OUT_OF_SCOPE])
    yield from _section("Computing", _computing(claims))
    yield from _section("Privacy", [PRIVACY])
    yield "## Commands"
    yield ""
    for line in dict.fromkeys([*(claim.best.command for claim in claims), command]):
        yield _code(line)
    yield ""
    fields: dict[str, Any] = dict(REFERENCES[LIBRARY][1])
    versions = listed(dict.fromkeys(claim.best.code_version for claim in claims))
    yield from _section("Citation", [f"{fields['author'].strip('{}')}. {fields['title']}. Version {versions}."])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _section(title: str, lines: Iterable[str]) -> Iterable[str]:
    some = list(lines)
    if some:
        yield f"## {title}"
        yield ""
        yield from (f"- {markdown_text(line)}" for line in dict.fromkeys(some))
        yield ""


def _code(line: str) -> str:
    """A command as a block; a line that holds backticks is fenced by more of them."""
    fence = "```"
    while fence in line:
        fence += "`"
    shown = "".join(c if c.isprintable() else "�" for c in line)
    return f"{fence}\n{shown}\n{fence}"


def _limits(claims: Sequence[Claim]) -> Iterable[str]:
    for claim in claims:
        if claim.best.limited:
            yield f"{claim.task}: a limited run, of {claim.best.n_items} items only."
        yield from (line for line in claim.verdict["sentences"] if line.startswith("Synthetic:"))


def _encoders(claims: Sequence[Claim]) -> Iterable[str]:
    import encoders

    for claim in {c.encoder: c for c in claims}.values():
        if claim.control or claim.encoder not in encoders.names():
            continue
        found = encoders.card(claim.encoder)
        if "other weights" in claim.best.weights:
            continue
        note = f"; {found.note}" if found.note else ""
        many = "" if found.parameters is None else f"{found.parameters:,} parameters on the image side"
        yield f"{claim.encoder}: {many}{note}".rstrip(": ")


def _keys(claims: Sequence[Claim]) -> Iterable[str]:
    for claim in {(c.best.data_key, c.task): c for c in claims}.values():
        yield f"{claim.task}: fingerprint of pixels, answers, groups and order {claim.best.data_key}."


def _controls(claims: Sequence[Claim]) -> Iterable[str]:
    for claim in claims:
        r = claim.best
        names = {"lowlevel": "image statistics", "pixels": f"thumbnails{marked(claim)}", "order": "order of the list",
                 "random": "untrained networks", "shuffled": "permuted labels"}  # fmt: skip
        found = {words: getattr(r, f"control_{name}") for name, words in names.items()}
        said = ", ".join(f"{words} {value:.2f}" for words, value in found.items() if value is not None)
        not_there = listed(words for words, value in found.items() if value is None)
        lacking = f"; not measured: {not_there}" if not_there else ""
        where = f"{claim.task} · {claim.encoder} at {r.site}/{r.readout}"
        yield f"{where} {r.score:.2f}, chance {r.chance:.2f}: {said}{lacking}."


def _shortcuts(claims: Sequence[Claim]) -> Iterable[str]:
    found = False
    for claim in claims:
        for line in warnings_of(claim):
            found = True
            yield f"{claim.task}: {line}"
        if claim.best.credit in ("nuisance", "pixels", "architecture"):
            found = True
            yield f"{claim.task} · {claim.encoder}: what is read is credited to {claim.best.credit}, not to learning."
    if not found:
        yield "The records name none; that is no proof that there are none."


def _computing(claims: Sequence[Claim]) -> Iterable[str]:
    yield from (f"{c.encoder}: {c.best.dtype} on {c.best.device}." for c in claims)
    yield "Times are not part of the records; each run's folder holds them in timing.json."

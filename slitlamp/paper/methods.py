r"""The methods paragraph, written from the records, in Markdown and LaTeX, with the references that it cites.

A sentence is text with citations in double braces, `{{holm1979,westfall1993}}`, which become `[@holm1979; …]` or
`\cite{…}`. Every number comes from a record, from what a plan was made of, or from a constant of the rule it names.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from importlib.metadata import PackageNotFoundError, version

from encoders.extraction.readouts import READOUTS
from probes.stats.credit import DRAWS
from probes.stats.plan import ALPHA, FEW
from slitlamp.paper.answers import a_probe, asked
from slitlamp.paper.design import design, marked
from slitlamp.paper.gathered import Claim, Gathered
from slitlamp.probing.state import CONTROLS
from slitlamp.reports.table import drawn
from slitlamp.reports.text import listed

CITED = re.compile(r"\{\{([\w,]+)\}\}")
TITLE = "Slitlamp: why a multimodal model fails to see"  # as in CITATION.cff
AUTHORS = "The Slitlamp authors"
LIBRARIES = ("numpy", "scipy", "torch", "scikit-learn", "timm", "open-clip-torch", "transformers", "h5py")


NOT_DRAWN = "not drawn"  # the reason for which --take-groups leaves items out


def _entry(kind: str, **fields: str) -> tuple[str, Mapping[str, str]]:
    return kind, fields


REFERENCES: dict[str, tuple[str, Mapping[str, str]]] = {
    "agresti1998": _entry(
        "article", author="Agresti, Alan and Coull, Brent A.", year="1998",
        title="Approximate is better than ``exact'' for interval estimation of binomial proportions",
        journal="The American Statistician", volume="52", number="2", pages="119--126"),
    "alain2016": _entry(
        "article", author="Alain, Guillaume and Bengio, Yoshua", year="2016",
        title="Understanding intermediate layers using linear classifier probes", journal="arXiv:1610.01644"),
    "benjamini1995": _entry(
        "article", author="Benjamini, Yoav and Hochberg, Yosef", year="1995",
        title="Controlling the false discovery rate: a practical and powerful approach to multiple testing",
        journal="Journal of the Royal Statistical Society: Series B", volume="57", number="1", pages="289--300"),
    "berger1982": _entry(
        "article", author="Berger, Roger L.", year="1982",
        title="Multiparameter hypothesis testing and acceptance sampling",
        journal="Technometrics", volume="24", number="4", pages="295--300"),
    "chernozhukov2013": _entry(
        "article", author="Chernozhukov, Victor and Chetverikov, Denis and Kato, Kengo", year="2013",
        title="Gaussian approximations and multiplier bootstrap for maxima of sums of high-dimensional random vectors",
        journal="The Annals of Statistics", volume="41", number="6", pages="2786--2819"),
    "goeman2010": _entry(
        "article", author="Goeman, Jelle J. and Solari, Aldo", year="2010",
        title="The sequential rejection principle of familywise error control",
        journal="The Annals of Statistics", volume="38", number="6", pages="3782--3810"),
    "hewitt2019": _entry(
        "inproceedings", author="Hewitt, John and Liang, Percy", year="2019",
        title="Designing and interpreting probes with control tasks",
        booktitle="Proceedings of EMNLP-IJCNLP", pages="2733--2743"),
    "hoeffding1948": _entry(
        "article", author="Hoeffding, Wassily", year="1948",
        title="A class of statistics with asymptotically normal distribution",
        journal="The Annals of Mathematical Statistics", volume="19", number="3", pages="293--325"),
    "holm1979": _entry(
        "article", author="Holm, Sture", year="1979", title="A simple sequentially rejective multiple test procedure",
        journal="Scandinavian Journal of Statistics", volume="6", number="2", pages="65--70"),
    "montiel2019": _entry(
        "article", author="Montiel Olea, Jos{\\'e} Luis and Plagborg-M{\\o}ller, Mikkel", year="2019",
        title="Simultaneous confidence bands: theory, implementation, and an application to {SVARs}",
        journal="Journal of Applied Econometrics", volume="34", number="1", pages="1--17"),
    "nadeau2003": _entry(
        "article", author="Nadeau, Claude and Bengio, Yoshua", year="2003",
        title="Inference for the generalization error", journal="Machine Learning", volume="52", number="3",
        pages="239--281"),
    "newcombe1998": _entry(
        "article", author="Newcombe, Robert G.", year="1998",
        title="Interval estimation for the difference between independent proportions: comparison of eleven methods",
        journal="Statistics in Medicine", volume="17", number="8", pages="873--890"),
    "phipson2010": _entry(
        "article", author="Phipson, Belinda and Smyth, Gordon K.", year="2010",
        title="Permutation {P}-values should never be zero: calculating exact {P}-values when permutations are "
        "randomly drawn",
        journal="Statistical Applications in Genetics and Molecular Biology", volume="9", number="1", pages="39"),
    "read2002": _entry(
        "article", author="Read, Alexander L.", year="2002",
        title="Presentation of search results: the {CL$_s$} technique",
        journal="Journal of Physics G: Nuclear and Particle Physics", volume="28", number="10", pages="2693--2704"),
    "satterthwaite1946": _entry(
        "article", author="Satterthwaite, Franklin E.", year="1946",
        title="An approximate distribution of estimates of variance components",
        journal="Biometrics Bulletin", volume="2", number="6", pages="110--114"),
    "slitlamp": _entry("misc", author=f"{{{AUTHORS}}}", title=TITLE),
    "westfall1993": _entry(
        "book", author="Westfall, Peter H. and Young, S. Stanley", year="1993", publisher="Wiley",
        title="Resampling-based multiple testing: examples and methods for p-value adjustment"),
    "williams2001": _entry(
        "inproceedings", author="Williams, Christopher K. I. and Seeger, Matthias", year="2001",
        title="Using the {Nystr{\\\"o}m} method to speed up kernel machines",
        booktitle="Advances in Neural Information Processing Systems 13", pages="682--688"),
    "wilson1927": _entry(
        "article", author="Wilson, Edwin B.", year="1927",
        title="Probable inference, the law of succession, and statistical inference",
        journal="Journal of the American Statistical Association", volume="22", number="158", pages="209--212"),
    "winkler2014": _entry(
        "article", author="Winkler, Anderson M. and Ridgway, Gerard R. and Webster, Matthew A. and Smith, Stephen M. "
        "and Nichols, Thomas E.", year="2014", title="Permutation inference for the general linear model",
        journal="NeuroImage", volume="92", pages="381--397"),
    "zou2008": _entry(
        "article", author="Zou, Guang Yong and Donner, Allan", year="2008",
        title="Construction of confidence limits about effect measures: a general approach",
        journal="Statistics in Medicine", volume="27", number="10", pages="1693--1702"),
}  # fmt: skip


def paragraphs(gathered: Gathered) -> dict[str, list[str]]:
    """Sentences with citations in braces under Data, Encoders, Probing, Statistics and Software."""
    claims = gathered.claims
    if not claims:
        return {}
    found = {
        "Data": [*_data(claims), *_each(claims, _groups)],
        "Encoders": [*_encoders(claims), *_each(claims, _points)],
        "Probing": [
            *_each(claims, _folds),
            *_each(claims, _probe),
            *_each(claims, _metric),
            *_each(claims, _chosen),
            *_each(claims, _controls),
            *_each(claims, _surpassed),
            *dict.fromkeys(map(_population, claims)),
        ],
        "Statistics": [
            *_each(claims, _interval),
            *_each(claims, _permuted),
            *_multiplicity(gathered),
            *_verdicts(claims),
            *_compared(gathered),
        ],
        "Software": [_software(claims), _shown(claims)],
    }
    return {head: [one for one in some if one] for head, some in found.items()}


def as_markdown(gathered: Gathered) -> str:
    """The methods as Markdown with Pandoc's citations."""
    text = "\n\n".join(
        f"**{head}.** " + " ".join(_escaped_markdown(one) for one in some)
        for head, some in paragraphs(gathered).items()
    )
    return "# Methods\n\n" + (text or "No encoder was probed in these runs.") + "\n"


def as_latex(gathered: Gathered) -> str:
    r"""The methods as LaTeX paragraphs with \cite."""

    def one(sentence: str) -> str:
        parts = CITED.split(sentence)
        return "".join(
            f"~\\cite{{{part}}}" if k % 2 else latex_text(part.rstrip(" ") if k + 1 < len(parts) else part)
            for k, part in enumerate(parts)
        )

    text = "\n\n".join(
        f"\\paragraph{{{head}.}} " + "\n".join(one(sentence) for sentence in some)
        for head, some in paragraphs(gathered).items()
    )
    return (text or "No encoder was probed in these runs.") + "\n"


LONGEST = 120  # letters of a word; of a longer name the middle is left out
UNBROKEN = 24  # letters of a word that TeX may hyphenate as it does any other


def latex_text(text: str) -> str:
    """A sentence as LaTeX: TeX hyphenates what is no longer than a word, and only longer names may break anywhere."""
    from slitlamp.reports.latex import escape, short

    words = [short(word, LONGEST) for word in text.split(" ")]
    return " ".join(escape(w) if len(w) > UNBROKEN else escape(w).replace("\\allowbreak{}", "") for w in words)


def bibliography(gathered: Gathered) -> str:
    """BibTeX of exactly what the methods cite, with the software in the versions of the records."""
    cited = {
        key
        for some in paragraphs(gathered).values()
        for sentence in some
        for keys in CITED.findall(sentence)
        for key in keys.split(",")
    }
    entries = []
    for key in sorted(cited):
        kind, fields = REFERENCES[key]
        if key == "slitlamp":
            fields = {**fields, "note": f"Version {', '.join(_versions(gathered.claims))}"}
        body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        entries.append(f"@{kind}{{{key},\n{body}\n}}\n")
    return "\n".join(entries)


def plain(sentence: str) -> str:
    """A sentence without its citations."""
    return re.sub(r" ?" + CITED.pattern, "", sentence)


def _escaped_markdown(sentence: str) -> str:
    parts = CITED.split(sentence)
    marks = (f" [{'; '.join(f'@{key}' for key in part.split(','))}]" for part in parts[1::2])
    texts = [markdown_text(part) for part in parts[::2]]
    first, *rest = texts
    return (
        first
        + "".join(  # without a space a bracket behind a citation would make it a link
            mark + " " * (text[:1] not in (".", ",", ";", ":")) * bool(text) + text
            for mark, text in zip(marks, rest, strict=True)
        )
    )


def markdown_text(text: str) -> str:
    """A sentence as Markdown that shows it; round brackets stay as they are, since no link can begin before them."""
    from slitlamp.reports.latex import short
    from slitlamp.reports.markdown import escape

    text = " ".join(short(word, LONGEST) for word in text.split(" "))
    return re.sub(r"\\([()+!])", r"\1", escape(text))


def inline_code(line: str) -> str:
    """A command as Markdown's code inside a line, between more backticks than it holds in a row."""
    shown = "".join(c if c.isprintable() else "�" for c in line)
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " * (len(ticks) > 1)
    return f"{ticks}{space}{shown}{space}{ticks}"


WHO = "\0"  # stands for the encoders and their verb in a sentence


def _each(claims: Sequence[Claim], tell: Callable[[Claim], str]) -> list[str]:
    """What is said of the claims, each sentence once; where they differ, with the questions that it holds for.

    Where one question was put to different numbers of groups these are named too, and the encoders where the same
    question has another sentence for others. A sentence with WHO names its encoders.
    """
    found: dict[str, list[Claim]] = {}
    for claim in claims:
        found.setdefault(tell(claim), []).append(claim)
    found.pop("", None)
    said = []
    for text, some in found.items():
        if WHO in text:
            said += _of_encoders(text, some, claims)
            continue
        others = [c for other, many in found.items() if other != text for c in many]
        said.append(_held_for(text, some, claims, {(c.task, c.best.n_groups) for c in others}))
    return said


def _of_encoders(text: str, some: Sequence[Claim], claims: Sequence[Claim]) -> list[str]:
    """A sentence about encoders, once for all questions in which it holds for the same of them."""
    asked: dict[tuple[str, ...], list[Claim]] = {}
    for key in dict.fromkeys((c.task, c.best.n_groups) for c in some):
        mine = [c for c in some if (c.task, c.best.n_groups) == key]
        asked.setdefault(tuple(dict.fromkeys(c.encoder for c in mine)), []).extend(mine)
    return [
        _held_for(text.replace(WHO, f"{listed(names)} {'was' if len(names) == 1 else 'were'}"), mine, claims)
        for names, mine in asked.items()
    ]


def _held_for(
    text: str, some: Sequence[Claim], claims: Sequence[Claim], contested: Set[tuple[str, int]] = frozenset()
) -> str:
    """A sentence with the questions that it holds for, unless it holds wherever its encoders were asked.

    `contested` are questions, with their numbers of groups, in which other encoders have another sentence.
    """
    encoders = {c.encoder for c in some}
    every, here = ({(c.task, c.best.n_groups): None for c in many if c.encoder in encoders} for many in (claims, some))
    if set(here) == set(every) and not contested & set(here):
        return text
    names = []
    for task in dict.fromkeys(task for task, _ in here):
        groups = [n for name, n in here if name == task]
        whole = len(groups) == sum(name == task for name, _ in every)
        which = "" if whole else f" of {listed(map(str, sorted(groups)))} groups"
        if any((task, n) in contested for n in groups):
            which += f" ({', '.join(dict.fromkeys(c.encoder for c in some if c.task == task))})"
        names.append(f"“{task}”{which}")
    return f"For {listed(names)}: {text}"


def _data(claims: Sequence[Claim]) -> Iterable[str]:
    """Who was asked: a sentence for each question and set of items, one for all draws of fewer groups."""
    found: dict[str, list[Claim]] = {}
    drawn: dict[tuple[str, str], list[Claim]] = {}
    every = list({(c.best.data_key, c.best.plan_key, c.task): c for c in claims}.values())
    for claim in every:
        facts = claim.question
        decode = ", ".join(f"{name} {_word(value)}" for name, value in facts["decode"].items())
        found.setdefault(f"Images were decoded with {decode}.", []).append(claim)
        if NOT_DRAWN in facts["left_out"]:
            drawn.setdefault((claim.task, facts["source"]), []).append(claim)
            continue
        yield _asked_of(claim)
    for (task, source), some in drawn.items():
        if len(some) == 1:
            yield _asked_of(some[0])
            continue
        sizes: dict[int, list[int]] = {}
        for claim in some:
            sizes.setdefault(claim.question["groups"], []).append(claim.question["items"])
        said = [f"{len(items)} of {n} groups ({_range(items)} items)" for n, items in sorted(sizes.items())]
        limited = " The runs were limited to a part of the images." * any(c.question["limited"] for c in some)
        yield f"“{_asked(task)}” was asked of draws at random from {source}: {listed(said)}.{limited}"
    yield from (_held_for(text, some, every) for text, some in found.items())


def _asked(task: str) -> str:
    return asked(task).replace("“", "‘").replace("”", "’")


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _asked_of(claim: Claim) -> str:
    facts = claim.question
    of = f" of {facts['images']} images" if facts["images"] != facts["items"] else ""
    size = f"{facts['items']} items{of} in {facts['groups']} groups from {facts['source']}"
    if facts["classes"] is not None:
        told = f" ({', '.join(f'{name} {count}' for name, count in facts['classes'].items())})"
    else:
        low, middle, high = facts["range"]
        told = f" (numbers from {low:g} to {high:g}, median {middle:g})"
    left = ", ".join(f"{count} {reason}" for reason, count in facts["left_out"].items())
    out = f"; left out: {left}" if left else ""
    limited = " The run was limited to a part of the images." if facts["limited"] else ""
    return f"“{_asked(claim.task)}” was asked of {size}{told}{out}.{limited}"


def _word(value: object) -> str:
    return (
        {True: "on", False: "off", None: "none"}.get(value, str(value))
        if isinstance(value, bool | None)
        else str(value)
    )


def _groups(claim: Claim) -> str:
    column = claim.flags.get("group")
    united = " Groups that share copies of an image were united." * (claim.flags.get("copies") == ("unite",))
    if claim.flags.get("data") is None:
        return "Groups were the generated phantoms, with all copies of one."
    if column:
        return f"Groups were the values of the column “{column[0]}”.{united}"
    if claim.question["groups"] == claim.question["images"]:
        return "Each image was taken for a group of its own."
    return f"Groups were those of the source.{united}"


def _encoders(claims: Sequence[Claim]) -> Iterable[str]:
    for encoder, weights in {(c.encoder, c.best.weights): None for c in claims}:
        if encoder in CONTROLS:
            yield f"{encoder} has no weights: it computes what it gives from the pixels."
            continue
        yield f"Features of {encoder} were computed with: {weights}; licence: {licence(encoder, weights)}."


def licence(encoder: str, weights: str) -> str:
    """The licence on an encoder's card; weights that are not those of the card have none that is known."""
    import encoders

    if "other weights" in weights:
        return "not known, since these are not the weights of the card"
    if weights.startswith("untrained"):
        return "none needed: its weights are drawn at random"
    known = encoders.names()  # under a label the weights name the card
    named = next((name for name in (encoder, *weights.split(", ")) if name in known), None)
    return "not on a card of this program" if named is None else encoders.card(named).licence


def _points(claim: Claim) -> str:
    if claim.control:
        return ""
    sites = {one.site for one in claim.records}
    readouts = list(dict.fromkeys(READOUTS[one.readout].title for one in claim.records))
    r = claim.best
    many = f"{len(claim.records)} point{'s' * (len(claim.records) > 1)} ({len(sites)} site{'s' * (len(sites) > 1)}; "
    return f"{WHO} read at {many}{listed(readouts)}), in {r.dtype} on {r.device}."


def _folds(claim: Claim) -> str:
    r = claim.best
    share = "" if r.n_classes is None else ", every fold with its share of each class"
    return (
        f"No group was split over folds: {r.folds} folds{share}, drawn anew {r.repeats} time{'s' * (r.repeats > 1)} "
        f"(seed {r.seed})."
    )


def _probe(claim: Claim) -> str:
    r = next((one for one in claim.records if not one.screened), claim.best)
    kind = r.probe.partition(" ")[0]
    if kind == "ridge":
        text = f"Linear probes {{{{alain2016}}}} were ridge regressions with the fixed relative penalty {r.probe[6:]}."
    elif kind == "linear-v1":
        text = (
            "Linear probes {{alain2016}} were logistic regressions whose penalty was chosen by inner folds of each "
            "training part."
        )
    else:
        text = f"The probe was {r.probe}."
    if r.nested is not None:
        text += " Beside it stands logistic regression with its penalty chosen inside the training folds."
    screened = [one for one in claim.records if one.screened]
    if screened and r not in screened:
        text += f" {len(screened)} of the {len(claim.records)} points were screened with closed-form ridge."
    return text


def _metric(claim: Claim) -> str:
    r = claim.best
    if r.n_classes is None:
        return (
            "Numbers were replaced by their normal scores, and the score is concordance, the share of pairs of "
            "held-out items of different groups whose order is predicted right {{hoeffding1948}} "
            f"(chance {r.chance:.2f})."
        )
    return f"The score is balanced accuracy over {r.n_classes} classes (chance {r.chance:.3g})."


def _chosen(claim: Claim) -> str:
    if len(claim.records) == 1:
        return ""
    wide = (
        " The highest row is marked as chosen on these data; its interval is made to hold for all points at once by a "
        "multiplier bootstrap over groups {{chernozhukov2013,montiel2019}}."
    ) * (claim.best.simultaneous_low is not None)
    if claim.nested:
        return (
            "The number quoted for an encoder is that of the point (site and readout) which inner folds of each "
            "training part chose." + wide
        )
    return "The number quoted for an encoder is that of its highest point." + wide


def _controls(claim: Claim) -> str:
    r = claim.best
    if claim.control:
        return ""
    measured = {
        "image statistics without layout": r.control_lowlevel,
        "the place of an item in the list": r.control_order,
        f"thumbnails of three sizes{marked(claim)}": r.control_pixels,
    }
    names = [name for name, value in measured.items() if value is not None]
    draws = _draws(claim)
    if draws:
        names.append(f"{draws} untrained draw{'s' * (draws > 1)} of the network")
    if not names:
        return "No control was measured."
    return f"{WHO} held against {listed(names)} on the same folds."


def _surpassed(claim: Claim) -> str:
    """What decides whether a control is surpassed, and what stands beside them."""
    if claim.control or "held against" not in _controls(claim):
        return ""
    text = (
        "A control is surpassed where the paired difference lies above 0 with its whole interval, each being tested at "
        "the full level {{berger1982}}."
    )
    if claim.best.control_shuffled is not None:
        of = " of ridge" * (claim.best.p_from != "permutation")
        text += f" Refits{of} to permuted labels stand beside them, as a control task would {{{{hewitt2019}}}}."
    return text


def _population(claim: Claim) -> str:
    if claim.control or _draws(claim) < DRAWS:
        return ""
    return (
        "Untrained networks, where there were three draws or more, were taken for a population, with a prediction "
        "interval for one that was not drawn {{satterthwaite1946}}."
    )


def _draws(claim: Claim) -> int:
    """Untrained draws of the encoder that its run measured."""
    controls = (one.encoder for one in claim.run.records if one.role == "control")
    return len({name for name in controls if drawn(name, claim.encoder)})


def _interval(claim: Claim) -> str:
    made, r = design(claim), claim.best
    if made is None:
        return ""
    if made.interval.startswith("none"):
        return f"There is no interval: {made.interval.partition(', ')[2]}."
    cited = f" {{{{{','.join(made.cited)}}}}}" if made.cited else ""
    return f"Intervals ({100 * r.confidence:g} %) are those of {made.interval}{cited}."


def _permuted(claim: Claim) -> str:
    made, r = design(claim), claim.best
    if r.p_from != "permutation":
        return "P-values come from the spread over folds {{nadeau2003}}: the probe is not refitted to permuted labels."
    if made is None:
        return ""
    return (
        f"P-values are those of a permutation test with {r.permutations} permuted label vectors {{{{phipson2010}}}}, "
        f"exchanging {made.exchanged} {{{{winkler2014}}}}."
    )


def _multiplicity(gathered: Gathered) -> Iterable[str]:
    run_claims = [[c for c in gathered.claims if c.run is run] for run in gathered.runs]
    known = [some for some in run_claims if some]
    searched = [some for some in known if some[0].refitted]
    if any(len({c.encoder for c in some}) * max(len(c.records) for c in some) > 1 for some in searched):
        yield (
            "The search over the points and encoders of a question was paid for by one maximum under the same "
            "permuted labels {{westfall1993}}."
        )
    if any(len({c.task for c in some}) > 1 for some in searched):
        yield "Over the questions of a command Holm's rule followed {{holm1979,goeman2010}}."
    if any(len(some[0].run.verdicts) > 1 or len(some[0].records) > 1 for some in known if some not in searched):
        yield (
            "Where a probe is not refitted to permuted labels, Holm's rule over all points, encoders and questions of "
            "a command paid for the search {{holm1979}}."
        )
    if len(known) > 1:
        yield f"Over the {len(known)} runs shown here nothing more was paid for."


def _verdicts(claims: Sequence[Claim]) -> Iterable[str]:
    states = {c.verdict["verdict"] for c in claims}
    yield (
        f"A fact is called present where p is at most {ALPHA:g} and the score above chance, with {FEW} groups or more; "
        "the interval says how large it is and does not decide."
    )
    absent = [c for c in claims if c.verdict["verdict"] == "absent"]
    if states & {"absent", "inconclusive"}:
        silent = (c.measured for c in claims if c.verdict["verdict"] != "present")
        strengths = sorted({f"{m.limit.asked:.2f}" for m in silent if m is not None and m.limit is not None})
        strength = f"a strength of {' or '.join(strengths)}" if strengths else "the strength that is asked for"
        pools = [c for c in claims if c.flags.get("pool") and c.verdict["verdict"] != "present"]
        of = " (of those of --pool, where one was given)" * bool(pools)
        large = any(c.best.n_items > _landmarks() for c in claims if c.verdict["verdict"] != "present")
        yield (
            f"It is called absent only where of differences planted along random mixtures of the images{of} at "
            f"{strength} fewer than 1 in 20, counted against exchanged labels {{{{read2002}}}}, read as "
            "little, and neither a readout that keeps the layout nor kernel ridge reads it"
            f"{' {{williams2001}}' * large}; else nothing is concluded."
        )
    for claim in absent:
        if claim.limit is not None:
            where = " at every point" * (len(claim.records) > 1)
            yield (
                f"For “{claim.task}” and {claim.encoder} a strength of {claim.limit:.2f} or more is excluded{where}."
            )
    if any(r.loss_state is not None for c in claims for r in c.records):
        yield (
            "How much less a point reads than its reference (the best of thumbnails, untrained networks, earlier "
            "points and other encoders, chosen by inner folds) is a paired difference on the same folds, with an "
            "interval for all points at once."
        )


def _landmarks() -> int:
    from probes.stats.exclusion import LANDMARKS

    return LANDMARKS


def _compared(gathered: Gathered) -> Iterable[str]:
    if gathered.compared is None:
        return
    rows = [row for row in gathered.compared.tables.get("comparisons", ()) if row["p_holm"] is not None]
    if rows:
        paired = sum(bool(row["paired"]) for row in rows)
        what = "1 difference was" if len(rows) == 1 else f"{len(rows)} differences were"
        yield (
            f"{what} taken, {paired} of them paired on identical folds, with Holm's rule "
            "{{holm1979}} and the false discovery rate {{benjamini1995}} over all of them."
        )


def _versions(claims: Sequence[Claim]) -> list[str]:
    return list(dict.fromkeys(c.best.code_version for c in claims))


def _software(claims: Sequence[Claim]) -> str:
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"All numbers were measured with slitlamp {listed(_versions(claims))} {{{{slitlamp}}}}; installed where this "
        f"text was written were {listed(found)}."
    )


def _shown(claims: Sequence[Claim]) -> str:
    made = [c for c in claims if c.synthetic]
    who = a_probe(claims).capitalize()
    text = f"{who} shows that a fact can be read from features, not that a language model uses it."
    if made:
        of = "All" if len(made) == len(claims) else "Some"
        text += f" {of} of these results rest on images or weights made by the project itself."
    return text

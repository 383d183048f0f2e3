"""How a claim was measured, read from what its plan was made of: what was exchanged, and which interval follows."""

from dataclasses import dataclass

from encoders.extraction.readouts import AT_MARK
from probes.stats.credit import PIXELS
from slitlamp.paper.gathered import Claim

EXCHANGED = {
    "items in folds": "items inside a fold",
    "whole groups": "whole groups among groups of about the same size inside a fold",
    "within groups": "labels inside each group, or among the copies of one image where it is shown several times",
    "group label vectors": "whole label vectors of groups, among groups of one size inside a fold",
}


SCALED = {  # how each probe scales its features, by the first word of its label
    "ridge": "columns are standardised over all items, which no label enters",
    "linear-v1": "columns are standardised inside training parts",
    "marks": "tokens are standardised over all marks of all items, which no label enters",
    "rbf": "columns are standardised over all items, which no label enters",
    "mlp": "columns are standardised over all items, which no label enters",
    "knn": "features are brought to length one, and no column is standardised",
}


def scaling(probe: str) -> str:
    """How a probe scales its features, in words; of a probe of one's own no record says it.

    >>> scaling("ridge 0.3"), scaling("mine")
    ('columns are standardised over all items, which no label enters', 'how its columns are scaled is its own')
    """
    return SCALED.get(probe.partition(" ")[0], "how its columns are scaled is its own")


def marked(claim: Claim) -> str:
    """What stands beside thumbnails, in words, where images carry marks: the brightness around these."""
    shown = any(r.role == "control" and r.encoder == PIXELS and r.readout == AT_MARK.name and r.task == claim.task
                for r in claim.run.records)  # fmt: skip
    return " (or the brightness around the marks)" * shown


@dataclass(frozen=True, kw_only=True)
class Design:
    """What was permuted, the groups of the smallest class (None for a number), and the interval in words.

    `cited` are the keys of what the interval rests on: see `slitlamp.paper.methods.REFERENCES`.
    """

    exchanged: str
    rare: int | None
    interval: str
    cited: tuple[str, ...]


def design(claim: Claim) -> Design | None:
    """The design of a claim; None where the run's folder does not hold what its plan was made of any more."""
    import numpy as np

    from probes.stats.block_permutation import class_counts, design_of
    from probes.stats.numbers import normal_scores

    made = claim.material
    if made is None:
        return None
    number = made["classes"] is None
    groups = np.unique(np.asarray(made["groups"]), return_inverse=True)[1].ravel()
    y = np.asarray(made["answers"], dtype=np.float64 if number else np.int64)
    rare = None if number else int((class_counts(y, groups) > 0).sum(axis=0).min())
    kind = design_of(normal_scores(y) if number else y, groups, number=number)
    words, cited = _interval(claim, rare)
    exchanged = EXCHANGED[kind].replace(" inside a fold", "") if number else EXCHANGED[kind]
    return Design(exchanged=exchanged, rare=rare, interval=words, cited=cited)


def _interval(claim: Claim, rare: int | None) -> tuple[str, tuple[str, ...]]:
    """The rule of `probes.stats.intervals` that gave the interval, in words, and what it rests on."""
    from probes.stats.intervals import JOINED
    from probes.stats.plan import FEW, RARE

    r = claim.best
    if r.n_groups < FEW:
        return f"none, since {r.n_groups} groups are fewer than {FEW}", ()
    few = rare is not None and rare < RARE
    if not few and not 0 < claim.score < 1:
        doubt = "the order of" if rare is None else "all doubt in the smallest class, of"
        of = r.n_groups if rare is None else rare
        return f"the exact binomial, since no held-out item shows any spread ({doubt} {of} groups)", ()
    t = "Student's t on groups" + ", as Wilson's interval of as many items as have this error" * (
        rare is not None and not 0.05 <= claim.score <= 0.95
    )
    if r.p_from == "folds":
        phi, cited = "inflated where the corrected resampling error over folds is larger", ("nadeau2003",)
        if not few:
            return f"the corrected resampling error over folds, with {t}", cited
    else:
        planted = rare is not None and not r.screened
        phi, cited = "inflated by the spread of refits to permuted labels", ()
        phi += " or to planted signals, whichever is larger" * planted
    if rare is None:
        return (
            f"the linearised, cluster-robust error of concordance (the jackknife's first order), {phi}, with {t}",
            ("hoeffding1948",),
        )
    if not few:
        return f"the cluster-robust error of held-out items, {phi}, with {t}", ("wilson1927",) * ("Wilson" in t)
    if r.n_classes is not None and r.n_classes <= JOINED:
        return (
            f"Wilson intervals of each class's share joined by MOVER, since the smallest class has {rare} groups, "
            f"{phi}",
            ("wilson1927", "newcombe1998", "zou2008", "agresti1998", *cited),
        )
    return (
        f"the cluster-robust error in which no class contributes less than with two groups more of each kind, since "
        f"the smallest class has {rare} groups, {phi}",
        ("agresti1998", *cited),
    )

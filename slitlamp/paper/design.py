"""How a claim was measured, read from what its plan was made of: what was exchanged, and which interval follows."""

from dataclasses import dataclass

from slitlamp.paper.gathered import Claim

EXCHANGED = {
    "items in folds": "items inside a fold",
    "whole groups": "whole groups among groups of about the same size inside a fold",
    "within groups": "labels inside each group, or among the copies of one image where it is shown several times",
    "group label vectors": "whole label vectors of groups, among groups of one size inside a fold",
}


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
    if r.p_from == "folds":
        return "the corrected resampling error over folds, with Student's t on groups", ("nadeau2003",)
    phi = "inflated by the spread of refits to permuted labels" + (
        "" if rare is None else " or to planted signals, whichever is larger"
    )
    if rare is None:
        return (
            f"the linearised, cluster-robust error of concordance (the jackknife's first order), {phi}, with Student's "
            "t on groups",
            ("hoeffding1948",),
        )
    if rare >= RARE:
        return f"the cluster-robust error of held-out items, {phi}, with Student's t on groups", ()
    if r.n_classes is not None and r.n_classes <= JOINED:
        return (
            f"Wilson intervals of each class's share joined by MOVER, since the smallest class has {rare} groups, "
            f"{phi}",
            ("wilson1927", "newcombe1998", "zou2008", "agresti1998"),
        )
    return (
        f"the cluster-robust error in which no class contributes less than with two groups more of each kind, since "
        f"the smallest class has {rare} groups, {phi}",
        ("agresti1998",),
    )

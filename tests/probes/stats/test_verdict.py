"""The verdict follows from the measurement: state, credit, reason, and the items that would decide."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import probes
from probes import Estimate, FeatureSet, Verdict
from probes.stats.exclusion import Exclusion
from probes.stats.measurement import Difference, Measurement
from probes.stats.multiplicity import low_over_map
from probes.stats.verdict import rings

TWO = ("upright", "turned")


def base(n: int = 240) -> Measurement:
    rng = np.random.default_rng(0)
    y, groups = np.arange(n) % 2, np.arange(n) // 2
    plan = probes.plan(y, groups, classes=TWO, permutations=99)
    x = rng.standard_normal((n, 6))
    return probes.measure(
        FeatureSet(x=x, y=y, groups=groups, ids=[str(i) for i in range(n)], classes=TWO),
        plan,
        detect=False,
        nested=False,
    )


BASE = base()


def seen(score: float, *, error: float = 0.03, p: float = 0.5, **change: Any) -> Measurement:
    half = 1.98 * error
    estimate = Estimate(
        metric="balanced accuracy", score=score, low=score - half, high=score + half, chance=0.5, p=p, mde=0.6
    )
    return dataclasses.replace(
        BASE,
        **{"estimate": estimate, "error": error, "null_error": error, "leak": False, **change},
    )


def silent(**change: Any) -> Measurement:
    """A measurement to which nothing is missing for an absence."""
    limit = Exclusion(limit=0.67, asked=0.9, rates={0.5: 1.0, 0.67: 0.04, 0.95: 0.01}, self_check=0.05, groups=None)
    return seen(0.5, **{"limit": limit, "kernel_p": 0.4, **change})


def limited(**change: Any) -> Measurement:
    found = silent().limit
    assert found is not None
    return silent(limit=dataclasses.replace(found, **change))


def says(pattern: str, found: Verdict) -> None:
    with pytest.raises(AssertionError, match=pattern):
        raise AssertionError(found.reason)


@pytest.mark.parametrize(
    ("m", "adjusted", "words", "text"),
    [
        (seen(0.7, p=0.001), None, "present", r"^Readable: balanced accuracy 0.70 .*, p = 0.001.$"),
        (seen(0.7, p=0.02), 0.04, "present", "p = 0.04"),
        (seen(0.7, p=0.02), 0.3, "inconclusive", "p = 0.02 here, but p = 0.3 once the search over all points is paid"),
        (seen(0.7, p=0.2), None, "inconclusive", "no differences were planted for this probe"),
        (
            seen(0.49, p=0.03),
            None,
            "inconclusive",
            r"sees something \(p = 0.03\), but the score is not above",
        ),
        (
            seen(0.56, error=0.035, p=0.012),
            None,
            "present (size open)",
            r"^Readable, how well is open: held-out items are told apart better than under exchanged labels "
            r"\(p = 0.012\), but with 240 items the size is uncertain: balanced "
            r"accuracy 0.56 \[0.49, 0.63\], chance 0.50\.$",
        ),
    ],
)
def test_present_is_the_permutation_test_s_word_and_the_interval_says_how_large(
    m: Measurement, adjusted: float | None, words: str, text: str
) -> None:
    found = probes.verdict(m, adjusted=adjusted)
    assert found.words == words
    assert found.size_open == ("open" in words)
    assert found.state == words.split(" ")[0]
    assert not (found.size_open and found.material)
    says(text, found)


def test_absent_when_nothing_is_missing_and_says_what_it_means() -> None:
    found = probes.verdict(silent())
    assert (found.state, found.words, found.excluded) == ("absent", "absent ≥.67", 0.67)
    assert found.credit is None
    assert found.reason == (
        "Not readable: balanced accuracy 0.50 [0.44, 0.56], chance 0.50. If the classes differed, along the ways in "
        "which these images differ from one another, so much that unlimited images would give accuracy 0.67, a score "
        "this low would be seen less than once in 20 times. Not excluded: a difference along directions in which such "
        "images hardly vary, and one that no straight line reads."
    )


@pytest.mark.parametrize(
    ("m", "text", "groups"),
    [
        (silent(limit=None), "no differences were planted for this probe", None),
        (silent(limit=None, screened=True), "was screened only", None),
        (limited(self_check=0.4), "called readable in 40% of trials", None),
        (
            limited(limit=0.96, groups=170),
            "But only differences of accuracy 0.96 or more are excluded here .0.90 is asked.. With about 170 groups "
            "0.90 would probably be excluded, if there is nothing to read",
            170,
        ),
        (limited(limit=None, groups=None), "not even differences of accuracy 0.95 are excluded here", None),
        (silent(kernel_p=0.05), r"a kernel reads it, which no straight line does \(p = 0.05\)", None),
        (silent(kernel_p=None), "no differences were planted", None),
    ],
)
def test_each_missing_piece_makes_it_inconclusive_and_is_named(m: Measurement, text: str, groups: int | None) -> None:
    found = probes.verdict(m)
    assert (found.state, found.excluded, found.groups_needed) == ("inconclusive", None, groups)
    assert found.words == "inconclusive"
    says(text, found)


def test_the_limit_asked_for_is_still_an_absence_and_one_above_it_is_not() -> None:
    assert probes.verdict(limited(limit=0.9)).state == "absent"
    assert probes.verdict(limited(limit=0.901)).state == "inconclusive"
    assert probes.verdict(limited(self_check=0.12)).state == "absent"
    assert probes.verdict(limited(self_check=0.121)).state == "inconclusive"
    for rare, state in ((20, "absent"), (19, "inconclusive")):
        assert probes.verdict(silent(plan=dataclasses.replace(BASE.plan, rare=rare))).state == state
    for check, enough in ((0.12, True), (0.121, False)):
        found = limited(self_check=check, limit=0.9).limit
        assert found is not None
        assert found.enough is enough


def test_a_readout_with_layout_that_reads_forbids_absence_and_one_that_does_not_allows_it() -> None:
    found = probes.verdict(silent(), layout=[seen(0.51, error=0.02), seen(0.55, error=0.04, p=0.05)])
    assert found.state == "inconclusive"
    says(
        r"a readout that keeps the layout of these tokens reads it \(.*0.55.*p = 0.05\): what fails here is this", found
    )
    assert probes.verdict(silent(), layout=[seen(0.58, error=0.03, p=0.06)]).state == "absent"


def low(score: float, error: float, p_low: float, **change: Any) -> Measurement:
    """A measurement whose own statistic lies that low among those of exchanged labels."""
    exchanged = np.linspace(0.3, 0.7, 999)
    lowest = np.concatenate([[exchanged[max(0, round(p_low * 1000) - 2)]], exchanged])
    m = seen(score, error=error, p=1.0, null=dataclasses.replace(BASE.null, statistic=lowest), **change)
    assert low_over_map([m.null.statistic]) == pytest.approx(p_low, abs=0.0015)
    return dataclasses.replace(m, leak=rings(low_over_map([m.null.statistic]), m.estimate))


@pytest.mark.parametrize(
    ("m", "over_map", "rang"),
    [
        (low(0.2, 0.05, 0.002), None, True),
        (low(0.2, 0.05, 0.002), 0.02, False),  # the map had lower ones by luck
        (low(0.2, 0.05, 0.02), None, False),
        (low(0.2, 0.05, 0.02), 0.01, True),
        (low(0.45, 0.05, 0.002), None, False),  # the interval holds chance
        (low(0.45, 0.05, 0.002), 0.002, False),
    ],
)
def test_a_leak_rings_where_exchanged_labels_never_fall_so_low_and_the_interval_lies_below_chance(
    m: Measurement, over_map: float | None, rang: bool
) -> None:
    found = probes.verdict(m, leak=over_map)
    assert found.leak is rang
    assert (found.state == "inconclusive") or not rang
    assert found.reason.startswith("LEAK: ") is rang
    assert ("below chance by more than exchanged labels ever give" in found.reason) is rang


def test_no_point_is_absent_where_a_leak_rings_elsewhere_among_the_same_items() -> None:
    for found in (probes.verdict(silent(), alarm=True), probes.verdict(silent(), layout=[low(0.2, 0.05, 0.002)])):
        assert (found.state, found.leak, found.excluded) == ("inconclusive", False, None)
        says("elsewhere these items are read below chance .* \\(LEAK\\)", found)
    assert probes.verdict(seen(0.7, p=0.001), alarm=True).state == "present"


def test_the_lowest_of_a_map_is_judged_against_the_lowest_of_exchanged_maps() -> None:
    rng = np.random.default_rng(1)
    maps = rng.standard_normal((8, 200))
    maps[3, 0] = -2.6  # one in two hundred by itself
    assert low_over_map([maps[3]]) <= 0.02
    assert low_over_map(list(maps)) == pytest.approx((1 + (maps[:, 1:].min(axis=0) <= -2.6).sum()) / 200)
    assert low_over_map([maps[3], maps[0][:100]]) == low_over_map([maps[3][:100], maps[0][:100]])


def difference(low: float, high: float | None = None) -> Difference:
    return Difference(score=low + 0.15, low=low, high=low + 0.2 if high is None else high, p=0.01)


READS, CHANCE = seen(0.7, p=0.001), seen(0.5)
NAMES = ("lowlevel", "order", "pixels", "random")


@pytest.mark.parametrize(
    ("lows", "readers", "credit", "text"),
    [
        (
            (-0.1, None, 0.1, 0.1),
            NAMES,
            "nuisance",
            "read it too \\(0.70\\) and are not shown to read less",
        ),
        ((0.1, -0.1, 0.1, 0.1), NAMES, "nuisance", "the order of the list reads it too"),
        ((0.1, 0.1, -0.1, 0.1), NAMES, "pixels", "a thumbnail reads it too"),
        ((0.1, None, 0.1, -0.1), NAMES, "architecture", "untrained networks read it too"),
        (
            (0.1, None, 0.1, 0.1),
            NAMES,
            "learned",
            "a thumbnail and untrained networks read: credited",
        ),
        ((-0.1, None, 0.1, 0.1), (), "open", "at this number of items .* \\(0.50\\), which are not shown to read it"),
        (
            (-0.1, None, -0.1, 0.1),
            (),
            "open",
            "layout\\) \\(0.50\\) or a thumbnail \\(0.50\\), none of which is shown to read it",
        ),
        ((-0.1, None, -0.1, 0.1), ("pixels",), "pixels", "a thumbnail reads it too"),
        ((-0.4, None, 0.1, 0.1), NAMES, "nuisance", "read it better \\(0.70\\): no credit to the encoder"),
        ((-0.1, None, -0.1, -0.1), NAMES, "nuisance", "plain image statistics"),
        ((0.1, None, 0.1, None), NAMES, "open", "No comparison with untrained networks was made, so no more than that"),
        ((None, None, 0.1, 0.1), NAMES, "open", "No comparison with plain image statistics"),
    ],
)
def test_credit_goes_to_the_first_control_that_reads_and_is_not_surpassed(
    lows: tuple[float | None, ...], readers: tuple[str, ...], credit: str, text: str
) -> None:
    controls = {
        name: (READS if name in readers else CHANCE, difference(low))
        for name, low in zip(NAMES, lows, strict=True)
        if low is not None
    }
    found = probes.verdict(seen(0.8, p=0.001), controls=controls)
    assert (found.state, found.credit) == ("present", credit)
    assert found.material == (credit == "learned")
    assert "as well" not in found.reason
    assert "architecture" not in found.reason
    says(text, found)
    assert probes.verdict(seen(0.8, p=0.001)).credit is None


def test_nothing_is_credited_where_nothing_is_present() -> None:
    controls = {name: (CHANCE, difference(0.1)) for name in ("lowlevel", "pixels", "random")}
    assert probes.verdict(silent(), controls=controls).credit is None


@pytest.mark.parametrize(("score", "material"), [(0.62, True), (0.6, False)])
def test_learned_is_material_where_the_whole_interval_lies_that_far_above_chance(score: float, material: bool) -> None:
    controls = {name: (CHANCE, difference(0.1)) for name in ("lowlevel", "pixels", "random")}
    found = probes.verdict(seen(score, p=0.001), controls=controls)
    assert (found.credit, found.material, found.size_open) == ("learned", material, False)


def test_too_few_groups_say_nothing_at_all() -> None:
    y, groups = np.arange(24) % 2, np.arange(24) // 2
    plan = probes.plan(y, groups, classes=TWO, folds=3, permutations=99)
    m = probes.measure(
        FeatureSet(x=y[:, None] + np.zeros((24, 2)), y=y, groups=groups, ids=[str(i) for i in range(24)], classes=TWO),
        plan,
        nested=False,
    )
    assert m.estimate.score == 1
    assert m.estimate.low is None
    assert m.estimate.p is not None
    assert m.state == "inconclusive"
    assert "12 independent groups: too few" in m.reason


@pytest.mark.parametrize("rare", [19, 20])
def test_absence_needs_twenty_groups_of_the_smallest_class_and_presence_does_not(rare: int) -> None:
    rng = np.random.default_rng(1)
    y, groups = (np.arange(200) < rare).astype(int), np.arange(200)
    plan = probes.plan(y, groups, classes=TWO, permutations=199, repeats=2)
    for shift in (0.0, 4.0):
        x = rng.standard_normal((200, 10)) + shift * y[:, None] * (np.arange(10) < 1)
        given = FeatureSet(x=x, y=y, groups=groups, ids=[str(i) for i in range(200)], classes=TWO)
        m = probes.measure(given, plan, probe="ridge", nested=False)
        assert (m.state == "present") == (shift > 0)
        assert (m.limit is not None) == (rare >= 20 and not shift)
        if not shift and rare < 20:
            assert m.groups_needed == 211
            assert "The smallest class has 19 groups; absence needs 20" in m.reason


def test_near_all_right_an_error_that_is_not_the_binomials_does_not_reach_down_to_chance() -> None:
    from scipy.special import stdtrit

    from probes.stats.intervals import interval

    made = probes.plan(np.arange(160) % 2, np.arange(160), classes=("a", "b"))
    for score, error, least in ((0.996, 0.012, 0.85), (0.97, 0.0135, 0.92)):
        low, high = interval(score, error, made) or (0.0, 0.0)
        assert least < low < score < high <= 1
        mirrored = interval(1 - score, error, made)
        assert mirrored == pytest.approx((1 - high, 1 - low))
        t, worth = stdtrit(159, 0.975), score * (1 - score) / error**2  # items of which this is the binomial's error
        middle = (score + t**2 / (2 * worth)) / (1 + t**2 / worth)
        half = t / (1 + t**2 / worth) * np.sqrt(score * (1 - score) / worth + t**2 / (4 * worth**2))
        assert (low, high) == pytest.approx((middle - half, middle + half))
    assert interval(0.97, 0.0, made) == (0.97, 0.97)


def test_features_that_are_equal_for_all_copies_are_blind_by_construction_and_others_are_not() -> None:
    """Copies of an image, one for each answer: equal features tell nothing; one copy that differs ends it."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(40, 6)), 2, axis=0).astype(np.float32)
    y, groups = ["up", "down"] * 40, [f"g{i // 2}" for i in range(80)]
    blind = measured_of(x, y, groups)
    assert blind.blind
    assert (blind.estimate.score, blind.estimate.low, blind.estimate.high) == (0.5, None, None)
    assert blind.reason.startswith("Blind to this question by construction")
    assert blind.groups_needed is None, "no number of items would decide"
    assert blind.limit is None
    assert not blind.reads
    flat = measured_of(np.ones((80, 3), dtype=np.float32), y, groups)
    assert flat.blind
    signs = np.where(np.arange(80) % 2, np.float32(-0.0), np.float32(0.0))[:, None]
    assert measured_of(np.concatenate([x, signs], axis=1), y, groups).blind, "-0 is 0"
    one = x.copy()
    one[5, 2] += 1
    other = measured_of(one, y, groups)
    assert not other.blind
    assert other.estimate.low is not None
    assert not measured_of(x, ["up", "up", "down", "down"] * 20, groups).blind, "equal copies of one answer tell it"


def measured_of(x: np.ndarray, y: list[str], groups: list[str]) -> probes.Measurement:
    given = probes.feature_set(x, y, groups=groups)
    return probes.measure(given, probes.plan(given.y, given.groups, classes=given.classes, permutations=99))

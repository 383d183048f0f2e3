"""The contract of probes: every file of the folder is tested by being there."""

from pathlib import Path

import numpy as np
import pytest

import probes
from plugins import UserFileError
from probes import FeatureSet, Predictions, ProbeError, UnknownName
from probes.rbf import WIDTHS, kernels
from probes.ridge import GRID, training_parts
from probes.solvers.codes import decide
from probes.solvers.inner_folds import inner_folds
from tests.paths import ROOT

NAMES = [name for name in probes.names() if name != "marks"]  # chooses between tokens: tested with at-mark
FLEXIBLE = ("knn", "linear", "mlp", "rbf", "ridge")  # may know an image by another of its patient
READ_NUMBERS = ("knn", "mlp", "rbf", "ridge")


def classes_of(y: np.ndarray) -> tuple[str, ...]:
    return tuple("abcdefgh"[: int(y.max()) + 1])


def given_of(x: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None, number: bool = False) -> FeatureSet:
    return FeatureSet(
        x=np.asarray(x, dtype=np.float32),
        y=y,
        groups=np.arange(len(y)) if groups is None else groups,
        ids=[f"item {i}" for i in range(len(y))],
        classes=None if number else classes_of(y),
    )


def folds_of(given: FeatureSet, repeats: int = 1, k: int = 5) -> np.ndarray:
    rng = np.random.default_rng(11)
    return np.stack([inner_folds(given.y, given.groups, rng, k) for _ in range(repeats)])


def planted(n: int, d: int, distance: float, classes: int = 2, seed: int = 0) -> FeatureSet:
    """Gaussian classes, `distance` apart along the first axes."""
    rng = np.random.default_rng([seed, n, d])
    y = np.arange(n) % classes
    return given_of(rng.normal(size=(n, d)) + distance / 2**0.5 * np.eye(classes, d)[y], y)


def asked(name: str, given: FeatureSet, repeats: int = 1, k: int = 5, seed: int = 3) -> Predictions:
    return probes.load(name)(given, folds_of(given, repeats, k), np.random.default_rng(seed))


def accuracy(found: Predictions) -> float:
    """Balanced accuracy, mean over repeats."""
    right = found.predicted == found.label
    return float(np.mean([right[:, found.label == k].mean() for k in np.unique(found.label)]))


@pytest.mark.parametrize("name", NAMES)
def test_probe_finds_what_is_planted(name: str) -> None:
    assert accuracy(asked(name, planted(200, 20, 4.0))) > 0.85
    assert accuracy(asked(name, planted(210, 20, 5.0, classes=3))) > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_probe_finds_nothing_in_noise(name: str) -> None:
    scores = [accuracy(asked(name, planted(120, 20, 0.0, seed=s))) for s in range(4)]
    assert 0.40 < np.mean(scores) < 0.58


def of_patients(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four images that know their patient and nothing else; the label belongs to the patient."""
    rng = np.random.default_rng([5, seed])
    patients = np.repeat(np.arange(60), 4)
    x = rng.normal(size=(60, 40))[patients] + 0.01 * rng.normal(size=(240, 40))
    return x, (rng.permutation(60) % 2)[patients], patients


@pytest.mark.parametrize("name", NAMES)
def test_recognising_the_patient_is_no_help(name: str) -> None:
    assert 0.38 < np.mean([accuracy(asked(name, given_of(*of_patients(s)))) for s in range(4)]) < 0.62


@pytest.mark.parametrize("name", FLEXIBLE)
def test_recognising_the_patient_would_help_if_groups_were_split(name: str) -> None:
    """The twin: images held out without their patient's others."""
    x, y, _ = of_patients(0)
    assert accuracy(asked(name, given_of(x, y))) > 0.85


@pytest.mark.parametrize("name", NAMES)
def test_probe_is_the_same_from_the_same_generator(name: str) -> None:
    given = planted(80, 10, 2.0)
    first, again = asked(name, given, repeats=2), asked(name, given, repeats=2)
    assert first.score.tobytes() == again.score.tobytes()
    assert (first.predicted == again.predicted).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_item_is_held_out_and_its_label_unused(name: str) -> None:
    given = planted(90, 12, 2.0)
    fold = folds_of(given)
    before = probes.load(name)(given, fold, np.random.default_rng(0))
    turned = given.y.copy()
    mine = fold[0] == 1
    turned[mine] = turned[mine][::-1]  # the same classes in the fold, so that inner folds stay as they are
    after = probes.load(name)(given_of(given.x, turned), fold, np.random.default_rng(0))
    assert not (turned == given.y).all()
    np.testing.assert_allclose(after.score[0][mine], before.score[0][mine], atol=1e-4)
    assert not np.allclose(after.score[0][~mine], before.score[0][~mine], atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_have_the_promised_shapes(name: str) -> None:
    given = planted(90, 12, 3.0, classes=3)
    found = asked(name, given, repeats=2)
    assert found.predicted.shape == (2, 90)
    assert found.score.shape == (2, 90, 3)
    assert (found.score.argmax(axis=2) == found.predicted).all()
    assert found.fold.shape == (2, 90)
    assert np.isfinite(found.score).all()
    if found.probability is not None:
        np.testing.assert_allclose(found.probability.sum(axis=2), 1, atol=1e-5)
    if found.penalty is not None:
        assert found.penalty.shape == (2, 5)


@pytest.mark.parametrize("name", NAMES)
def test_unequal_classes_are_not_all_called_the_larger(name: str) -> None:
    rng = np.random.default_rng(2)
    y = (np.arange(200) % 5 == 0).astype(int)
    given = given_of(rng.normal(size=(200, 8)) + 2.5 * y[:, None] * np.eye(1, 8), y)
    assert accuracy(asked(name, given)) > 0.72


@pytest.mark.parametrize("name", NAMES)
def test_probe_reads_a_number_and_finds_none_in_noise_or_refuses_it_in_one_line(name: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 6))
    number = 50 + 10 * x[:, 0] + 2 * rng.normal(size=200)
    if name not in READ_NUMBERS:
        with pytest.raises(ProbeError, match="--probe ridge") as caught:
            asked(name, given_of(x, number, number=True))
        assert "\n" not in str(caught.value)
        return
    found = asked(name, given_of(x, number, number=True))
    assert found.baseline is not None
    assert found.score.shape == (1, 200, 1)
    left, before = np.square(found.predicted - number).sum(), np.square(found.baseline - number).sum()
    assert 1 - left / before > 0.4
    noise = asked(name, given_of(rng.normal(size=(200, 6)), number, number=True))
    assert 1 - np.square(noise.predicted - number).sum() / before < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_features_that_say_nothing_give_no_answer_but_no_failure(name: str) -> None:
    y = np.arange(60) % 2
    found = asked(name, given_of(np.full((60, 5), 3.25), y))
    assert np.isfinite(found.score).all()
    assert accuracy(found) <= 0.65


def xor(n: int, d: int, seed: int = 0) -> FeatureSet:
    """Two planted bits whose exclusive or is the answer; Bayes accuracy .956 at this distance."""
    rng = np.random.default_rng([seed, n, d])
    bits = rng.integers(2, size=(n, 2))
    x = np.concatenate([(2 * bits - 1) * 2.0 + rng.normal(size=(n, 2)), rng.normal(size=(n, d - 2))], axis=1)
    return given_of(x, bits[:, 0] ^ bits[:, 1])


def test_a_hyperplane_cannot_read_exclusive_or_and_a_kernel_can() -> None:
    for name, low, high in (("linear", 0.38, 0.60), ("ridge", 0.38, 0.60), ("rbf", 0.80, 1.0), ("knn", 0.80, 1.0)):
        assert low < np.mean([accuracy(asked(name, xor(200, 6, seed=s))) for s in range(3)]) < high, name


def test_kernels_have_the_widths_that_are_said() -> None:
    from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

    x = np.random.default_rng(0).standard_normal((40, 3)) * [1, 50, 0.1] + 7
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    median = np.median(euclidean_distances(z, squared=True)[np.triu_indices(40, 1)])
    for width, kernel in zip(WIDTHS, kernels(x), strict=True):
        assert kernel == pytest.approx(rbf_kernel(z, gamma=width / median), abs=1e-6)


@pytest.mark.parametrize("number", [False, True])
def test_every_item_is_decided_at_the_mean_of_its_training_part(number: bool) -> None:
    rng = np.random.default_rng(2)
    y = rng.standard_normal(50) if number else (np.arange(50) % 5 > 0).astype(int)
    own = given_of(rng.standard_normal((50, 2)), y, number=number)
    folds = rng.integers(0, 4, (2, 50))
    fitted = rng.random((2, 50, 1 if number else 2))
    codes = y[:, None] if number else np.eye(2)[y.astype(int)]
    mean = np.array([[codes[fold != fold[i]].mean(axis=0) for i in range(50)] for fold in folds])
    found = decide(own, folds, fitted)
    assert found.score == pytest.approx(fitted if number else fitted - mean)
    assert found.predicted == pytest.approx(fitted[..., 0] if number else (fitted - mean).argmax(axis=2))
    assert found.baseline is None if not number else found.baseline == pytest.approx(mean[..., 0])


def test_choices_are_made_in_the_training_part_of_each_fold_of_each_repeat() -> None:
    rng = np.random.default_rng(1)
    y, groups = rng.permutation(np.arange(60) % 2), np.arange(120) // 2
    own = given_of(rng.standard_normal((120, 3)), y[groups], groups)
    folds = np.stack([rng.permutation(np.arange(60) % 5)[groups] for _ in range(3)])
    places, outer, inner = training_parts(own, folds, rng)
    assert [place[:2] for place in places] == [(r, k) for r in range(3) for k in range(5)]
    for (repeat, _, part), train, within in zip(places, outer, inner, strict=True):
        assert np.array_equal(train, folds[repeat] != part)
        assert np.array_equal(within >= 0, train)
        assert np.array_equal(within[::2], within[1::2]), "inner folds keep groups whole"


@pytest.mark.slow
def test_linear_probe_reaches_the_accuracy_that_theory_gives() -> None:
    """Isotropic Gaussian classes: A(n) = Phi(D^2 / (2 sqrt(D^2 + 4 d / n))), known for d = 8 and n = 500."""
    from math import erf

    for distance in (0.0, 1.0, 2.0, 3.0):
        theory = 0.5 * (1 + erf(distance**2 / (2 * (distance**2 + 4 * 8 / 450) ** 0.5) / 2**0.5))
        found = [accuracy(asked("linear", planted(500, 8, distance, seed=s), k=10)) for s in range(20)]
        assert np.mean(found) == pytest.approx(theory, abs=0.015)


def test_log_loss_falls_back_to_the_prior_where_nothing_can_be_read() -> None:
    given = planted(120, 30, 0.0, seed=4)
    found = asked("linear", given, k=10)
    assert found.probability is not None
    mine = np.take_along_axis(found.probability[0], given.y[:, None], axis=1)
    assert -np.log(mine).mean() < np.log(2) + 0.03
    sure = asked("linear", planted(120, 30, 6.0), k=10)
    assert sure.probability is not None
    assert -np.log(np.take_along_axis(sure.probability[0], given.y[:, None], axis=1)).mean() < 0.2


def test_linear_probe_says_when_its_strength_lies_at_an_edge() -> None:
    given = planted(80, 10, 3.0)
    found = probes.load("linear")(given, folds_of(given), np.random.default_rng(0), c_grid=(1e-3, 1e-2))
    assert any("edge" in note for note in found.notes)


def test_ridge_penalty_can_be_given_or_chosen_inside_the_training_part() -> None:
    given = planted(120, 300, 4.0)
    fold = folds_of(given)
    fixed = probes.load("ridge")(given, fold, np.random.default_rng(0), penalty=1.0)
    chosen = probes.load("ridge")(given, fold, np.random.default_rng(0), penalty="nested")
    assert fixed.penalty is None
    assert chosen.penalty is not None
    assert set(np.unique(chosen.penalty)) <= set(GRID)


def test_inner_folds_keep_groups_whole_and_classes_even() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), rng.integers(1, 5, size=50))
    y = rng.integers(3, size=len(groups))
    fold = inner_folds(y, groups, np.random.default_rng(1))
    assert all(len(np.unique(fold[groups == g])) == 1 for g in range(50))
    single = inner_folds(np.arange(103) % 3, np.arange(103), np.random.default_rng(1))
    counts = np.array([[((single == k) & (np.arange(103) % 3 == c)).sum() for c in range(3)] for k in range(5)])
    assert np.ptp(counts, axis=0).max() <= 1
    assert (fold == inner_folds(y, groups, np.random.default_rng(1))).all()


def test_unknown_probe_is_met_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="no probe 'liner'; did you mean 'linear'"):
        probes.load("liner")


def test_users_file_is_a_probe_and_a_file_without_one_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def probe(given, folds, rng):\n    return 'mine'\n")
    assert probes.load(str(mine))(None, None, None) == "mine"
    mine.write_text("x = 1\n")
    with pytest.raises(UserFileError, match=r"mine\.py does not define probe \(a function probe\(given, folds, rng"):
        probes.load(str(mine))
    with pytest.raises(UnknownName, match="no probe file"):
        probes.load(str(tmp_path / "nowhere.py"))


@pytest.mark.parametrize("name", NAMES)
def test_split_groups_missing_classes_and_wrong_folds_are_refused_in_one_line(name: str) -> None:
    given, rng = planted(40, 4, 1.0), np.random.default_rng(0)
    probe = probes.load(name)
    pairs = given_of(given.x, given.y, np.arange(40) // 2)
    with pytest.raises(ProbeError, match=r"group '0' lies in two folds of repeat 0"):
        probe(pairs, (np.arange(40) % 5)[None], rng)
    with pytest.raises(ProbeError, match=r"class 'a' is missing from the training part of fold 0"):
        probe(given, given.y[None], rng)
    with pytest.raises(ProbeError, match=r"folds must be \[repeats, 40\]"):
        probe(given, np.zeros((1, 3), dtype=int), rng)
    with pytest.raises(ProbeError, match="at least two are needed"):
        probe(given, np.zeros((1, 40), dtype=int), rng)


def test_linear_probe_sends_a_number_to_ridge() -> None:
    given = given_of(np.ones((30, 2)), np.linspace(0, 1, 30), number=True)
    with pytest.raises(ProbeError, match="--probe ridge reads numbers"):
        asked("linear", given)


def test_too_few_groups_for_inner_folds_is_said() -> None:
    given = given_of(np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2, np.arange(40) // 10)
    with pytest.raises(ProbeError, match="groups cannot fill 5 inner folds"):
        asked("linear", given, k=4)


def test_listing_probes_imports_neither_numpy_nor_torch_nor_scipy() -> None:
    import subprocess
    import sys

    heavy = ("numpy", "torch", "scipy", "sklearn")
    code = f"import sys, probes; probes.names(); print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_the_probe_in_the_documentation_keeps_the_contract(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "probes.md").read_text()
    mine = tmp_path / "mine.py"
    mine.write_text(text[text.index('"""Nearest class mean') :].split("```")[0])
    given = planted(120, 10, 4.0)
    found = probes.load(str(mine))(given, folds_of(given), np.random.default_rng(0))
    assert accuracy(found) > 0.9
    noise = planted(120, 10, 0.0)
    assert accuracy(probes.load(str(mine))(noise, folds_of(noise), np.random.default_rng(0))) < 0.65

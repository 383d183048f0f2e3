"""Stages of a model on planted truth: transported probes, texts, erasure, information, and false verdicts.

$ python benchmarks/stages.py [transport text erasure information verdict no-pool] [--runs 20] [--seed 0]

transport    connectors that lose nothing, something, or all: what a probe trained anew and a transported probe say
text         a contrastive model whose texts point along the fact or not, with and without an offset: the two terms
erasure      LEACE of an answer's direction, of exchanged labels, of random directions; and fitted on the very rows that
             are read, where accuracy falls below chance
information  V-information, description length and their controls beside the exact mutual information
verdict      the rule on planted truths, 768 features of a power-law spectrum, 134 and 200 items, and the naive rule
no-pool      the transported probe where no further images are at hand: false losses with and without the guard

Each prints a table in Markdown; in brackets is what METHOD.md found with another implementation.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import sys  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Iterator, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from scipy.special import ndtr, ndtri  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

import probes  # noqa: E402
from probes.solvers.auc import auc  # noqa: E402
from probes.stages import alignment, erasure, information, planted, transport  # noqa: E402
from probes.stages.contrast import scored_margin  # noqa: E402

CLASSES = ("no", "yes")


def row(*cells: object) -> None:
    """Print one row of a table."""
    print("| " + " | ".join(str(one) for one in cells) + " |", flush=True)


def head(*cells: str) -> None:
    """Print the head of a table."""
    row(*cells)
    row(*["---"] * len(cells))


def turn(rng: np.random.Generator, width: int) -> np.ndarray:
    """A random rotation."""
    return np.linalg.qr(rng.standard_normal((width, width)))[0]


def features(x: np.ndarray, y: np.ndarray) -> probes.FeatureSet:
    """Items of two classes, each in a group of its own."""
    ids = [str(i) for i in range(len(y))]
    return probes.FeatureSet(x=x, y=y, groups=np.arange(len(y)), ids=ids, classes=CLASSES)


def plan_of(y: np.ndarray, seed: int, repeats: int | None = None) -> probes.Plan:
    """A plan of two classes."""
    return probes.plan(y, np.arange(len(y)), classes=CLASSES, seed=seed, permutations=99, repeats=repeats)


CONNECTORS = {
    "invertible, condition 1": "[-.021 (.014), 0 % / .000 (.000), 0 %, 100 %]",
    "invertible, condition 100": "[+.062 (.031), 70 % / -.000 (.000), 0 %, 100 %]",
    "invertible, condition 1000": "[+.081 (.032), 75 % / -.000 (.004), 0 %, 100 %]",
    "task direction halved": "[+.085 (.025), 90 % / .000 (.000), 0 %, 100 %]",
    "task direction removed": "[+.298 (.038), 100 % / +.316 (.036), 100 %, 0 %]",
    "random projection d -> d/2": "[+.068 (.032), 60 % / +.051 (.030), 65 %, 10 %]",
}


def connected(kind: str, x: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Features x behind a connector of this kind; the classes differ along the unit vector v."""
    d = x.shape[1]
    if kind.startswith("invertible"):
        s = np.logspace(0, -np.log10(float(kind.split()[-1])), d)
        return ((x @ turn(rng, d)) * s) @ turn(rng, d)
    if kind.startswith("task"):
        left = 0.5 if kind.endswith("halved") else 0.0
        return (x - (1 - left) * (x @ v)[:, None] * v) @ turn(rng, d)
    return x @ rng.standard_normal((d, d // 2)) / np.sqrt(d)


def stages_of(
    kind: str, n: int, pool: int, d: int, seed: Sequence[int], accuracy: float = 0.9
) -> tuple[probes.FeatureSet, probes.FeatureSet, np.ndarray | None, np.ndarray | None]:
    """Items before and behind a connector, and the pool at both."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([rng.permutation(np.arange(n) % 2), rng.integers(0, 2, pool)])
    v = rng.standard_normal(d)
    v /= np.linalg.norm(v)
    x = rng.standard_normal((n + pool, d)) + (2 * y[:, None] - 1) * float(ndtri(accuracy)) * v
    z = connected(kind, x, v, rng)
    return features(x[:n], y[:n]), features(z[:n], y[:n]), x[n:] if pool else None, z[n:] if pool else None


def transport_(runs: int, seed: int) -> None:
    """METHOD 4.4's table: 200 items, 1,500 images without labels, 128 features."""
    head("connector", "trained anew: loss (se), loss > 0", "transported: loss (se), loss > 0, no material loss",
         "non-linear: loss, loss > 0", "state", "METHOD")  # fmt: skip
    for at, kind in enumerate(CONNECTORS):
        found = []
        for k in range(runs):
            before, after, *pool = stages_of(kind, 200, 1500, 128, [seed, 1, at, k])
            plan = plan_of(before.y, k, 2)
            found.append(transport.transported(before, after, plan, pool_before=pool[0], pool_after=pool[1]))
        cells = []
        for name in ("trained anew", "linear", "nonlinear"):
            losses = [next(r.loss for r in one.readers if r.name == name) for one in found]
            mean, se = np.mean([c.loss for c in losses]), np.mean([(c.high - c.low) / 3.94 for c in losses])  # type: ignore[operator]
            some = np.mean([c.low > 0 for c in losses])  # type: ignore[operator]
            none = np.mean([c.state == "none" for c in losses])
            cells.append(f"{mean:+.3f} ({se:.3f}), {some:.0%}" + f", {none:.0%}" * (name == "linear"))
        states = ", ".join(f"{state} {many / runs:.0%}" for state, many in Counter(o.state for o in found).items())
        row(kind, *cells, states, CONNECTORS[kind])


def no_pool(runs: int, seed: int) -> None:
    """Connectors that lose nothing, or all, with no image beyond the items: states with the guard, and without."""
    head("connector", "items, width", "loss", "state", "material without the guard")
    for n, d in ((200, 256), (700, 512)):
        for at, kind in enumerate(CONNECTORS):
            found = []
            for k in range(runs):
                before, after, *_ = stages_of(kind, n, 0, d, [seed, 2, at, k])
                found.append(transport.transported(before, after, plan_of(before.y, k, 2)))
            bare = np.mean([all(r.loss.material for r in o.readers) for o in found])
            states = ", ".join(f"{s} {m / runs:.0%}" for s, m in Counter(o.state for o in found).items())
            row(kind, f"{n}, {d}", f"{np.mean([o.loss.loss for o in found]):+.3f}", states, f"{bare:.0%}")


TEXTS = {
    "aligned": "[.896 .972 .906 .993 +.087 +.010 .83 .27]",
    "aligned + offset": "[.568 .971 .905 .992 +.087 +.337 .83 .24]",
    "misaligned": "[.572 .622 .582 .993 +.412 +.009 .22 .03]",
    "misaligned + offset": "[.542 .621 .571 .993 +.422 +.029 .22 .03]",
    "no signal": "[.502 .496 .485 .499 +.014 -.017 -.02 .02]",
}


def texts(kind: str, rng: np.random.Generator, n: int = 400, d: int = 512) -> tuple[np.ndarray, list[np.ndarray]]:
    """Images [n, d] (the second half of the second class) and 8 prompts for each class, with a planted truth.

    Classes lie 5.6 sd apart; the texts' direction has a cosine of .48 with theirs (.075: misaligned); an offset moves
    images along the texts' direction.
    """
    y = np.arange(n) >= n // 2
    v, other = turn(rng, d)[:2]
    cosine = 0.48 if kind.startswith("aligned") else 0.075
    t = cosine * v + np.sqrt(1 - cosine**2) * other
    x = rng.standard_normal((n, d)) + (kind != "no signal") * 5.6 * (y[:, None] - 0.5) * v
    x += 2.4 * t * ("offset" in kind)
    common = 2 * rng.standard_normal(d)
    return x, [common + (c - 0.5) * 20 * t + 0.5 * rng.standard_normal((8, d)) for c in range(2)]


def text(runs: int, seed: int) -> None:
    """METHOD 4.5's table: 400 images, 512 features."""
    head("planted", "zero-shot", "AUC", "text-1d", "probe", "direction", "threshold", "correlation", "cosine",
         "centred", "cross-modal AUC", "material", "METHOD")  # fmt: skip
    y = (np.arange(400) >= 200).astype(int)
    for at, kind in enumerate(TEXTS):
        found, named = [], Counter()
        for k in range(runs):
            x, prompts = texts(kind, np.random.default_rng([seed, 3, at, k]))
            a = alignment.alignment(x, prompts, plan_of(y, k, 2))
            named.update([name for name in ("direction", "threshold") if getattr(a, name).material])
            found.append([
                a.zero_shot.value, a.auc.value, a.text_1d.value, a.probe.value, a.direction.loss, a.threshold.loss,
                a.correlation.value, a.cosine, a.zero_shot_centred.value, a.cross_modal.value,  # type: ignore[union-attr]
            ])  # fmt: skip
        said = ", ".join(f"{name} {many / runs:.0%}" for name, many in named.items()) or "none"
        row(kind, *[f"{one:.3f}" for one in np.mean(found, axis=0)], said, TEXTS[kind])


def ridge_cv(x: np.ndarray, y: np.ndarray, plan: probes.Plan, edit: bool = False) -> float:
    """Balanced accuracy of ridge in folds; with `edit` the labels are erased first, by what the other folds say."""
    found = np.zeros((1, len(y), 1))
    for part in range(plan.n_folds):
        held = plan.folds[0] == part
        z = erasure.Leace.fit(x[~held], y[~held]).apply(x) if edit else x
        centre = z[~held].mean(axis=0)
        a = z[~held] - centre
        s = a.T @ a
        s += 0.3 * np.trace(s) / len(s) * np.eye(len(s))
        found[0, held, 0] = (z[held] - centre) @ np.linalg.solve(
            s, a.T @ (2.0 * y[~held] - 1 - np.mean(2.0 * y[~held] - 1))
        )
    return scored_margin(found, y, plan).mean


def erasure_(runs: int, seed: int) -> None:
    """METHOD 4.7's numbers: fitted on the rows it is read on; held out; and what an answer of a known head does."""
    head("probe of erased features", "n=1000, d=64", "n=200, d=256", "METHOD")
    table: dict[str, list[float]] = {}
    for n, d in ((1000, 64), (200, 256)):
        rows: dict[str, list[float]] = {}
        for k in range(runs):
            rng = np.random.default_rng([seed, 4, n, k])
            y = rng.permutation(np.arange(2 * n) % 2)
            x = rng.standard_normal((2 * n, d))
            x[:, 0] += 2.0 * y
            first, second = slice(0, n), slice(n, None)
            plan = plan_of(y[first], k, 1)
            inside = erasure.Leace.fit(x[first], y[first])
            shrunk = erasure.Leace.fit(x[first], y[first], shrinkage="oas")
            other = plan_of(y[second], k, 1)
            for name, value in {
                "not erased": ridge_cv(x[first], y[first], plan),
                "fitted on the very rows, then cross-validated": ridge_cv(inside.apply(x[first]), y[first], plan),
                "fitted and probed in the training folds": ridge_cv(x[first], y[first], plan, edit=True),
                "fitted on other rows, probe trained anew": ridge_cv(inside.apply(x[second]), y[second], other),
                "the same, shrunk (oas)": ridge_cv(shrunk.apply(x[second]), y[second], other),
            }.items():
                rows.setdefault(name, []).append(value)
        for name, values in rows.items():
            table.setdefault(name, []).append(float(np.mean(values)))
    known = {"fitted on the very rows, then cross-validated": "[.237, .007]",
             "fitted and probed in the training folds": "[.500, .499]"}  # fmt: skip
    for name, values in table.items():
        row(name, *[f"{one:.3f}" for one in values], known.get(name, ""))
    print()
    head("answer of a known head, n=1000, d=64", "AUC of its log-odds", "METHOD")
    answers: dict[str, list[float]] = {}
    for k in range(runs):
        rng = np.random.default_rng([seed, 5, k])
        y, z = rng.permutation(np.arange(2000) % 2), rng.integers(0, 2, 2000)
        x = rng.standard_normal((2000, 64))
        x[:, 0] += 2.32 * y
        x[:, 1] += 2.56 * z
        train, test = slice(0, 1000), slice(1000, None)
        moments = erasure.Moments.of(x[train], y[train])
        real = erasure.leace(moments)
        edits = {
            "as it is": None, "LEACE of the label": real,
            "LEACE of exchanged labels": erasure.Leace.fit(x[train], rng.permutation(y[train])),
            "random direction": erasure.random_erasure(moments, real, rng),
            "mean projection": erasure.mean_projection(moments),
        }  # fmt: skip
        for name, edit in edits.items():
            t = x[test] if edit is None else edit.apply(x[test])
            for question, label, head_ in (
                ("", y, t[:, 0] + 0.6 * t[:, 2]),
                (", unrelated question", z, t[:, 1] + 0.6 * t[:, 3]),
            ):
                value = float(auc(np.round(head_, 9)[None], label[test][None])[0])
                answers.setdefault(name + question, []).append(value)
    known = {"as it is": "[.922]", "LEACE of the label": "[.500]", "LEACE of exchanged labels": "[.919]",
             "as it is, unrelated question": "[.942]", "LEACE of the label, unrelated question": "[.917]"}  # fmt: skip
    for name, values in answers.items():
        row(name, f"{np.mean(values):.3f}", known.get(name, ""))


def exact_bits(distance: float) -> float:
    """Mutual information in bits of a class and Gaussian features this Mahalanobis distance apart."""
    x = np.linspace(-12, 12, 40001)
    a, b = (np.exp(-0.5 * (x - m) ** 2) / np.sqrt(2 * np.pi) for m in (-distance / 2, distance / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = 0.5 * np.nan_to_num(a * np.log2(2 * a / (a + b))) + 0.5 * np.nan_to_num(b * np.log2(2 * b / (a + b)))
    return float(np.trapezoid(value, x))


def information_(runs: int, seed: int) -> None:
    """METHOD 2.2's numbers: 200 items, 128 features."""
    head("A_inf", "exact bits", "V-information", "of ridge (Platt)", "exchanged labels", "code, bits",
         "code of exchanged labels", "uniform", "METHOD (exact, V, code)")  # fmt: skip
    known = {0.0: "[.000, -.006, 210]", 1.0: "[.161, .004, 209]", 2.0: "[.486, .180, 199]", 4.0: "[.913, .703, 121]"}
    for distance, said in known.items():
        found = []
        for k in range(runs):
            rng = np.random.default_rng([seed, 6, int(distance), k])
            y = rng.permutation(np.arange(200) % 2)
            x = rng.standard_normal((200, 128))
            x += distance * (y[:, None] - 0.5) * turn(rng, 128)[0]
            plan = plan_of(y, k, 1)
            measured = probes.load("linear")(features(x, y), plan.folds, np.random.default_rng(k))
            other = plan.permuted[0]
            exchanged = probes.load("linear")(features(x, other), plan.folds, np.random.default_rng(k))
            swapped = probes.plan(other, np.arange(200), classes=CLASSES, seed=k, permutations=99, repeats=1)
            ridge = probes.load("ridge")(features(x, y), plan.folds, np.random.default_rng(k)).score
            code = information.codelength(x, plan, seed=k, orders=2)
            assert measured.probability is not None
            assert exchanged.probability is not None
            found.append([
                information.v_information(measured.probability, plan).bits,
                information.v_information_of(ridge[..., 1:] - ridge[..., :1], plan).bits,
                information.v_information(exchanged.probability, swapped).bits, code.bits, code.control, code.uniform,
            ])  # fmt: skip
        a, b, c, d, e, f = np.mean(found, axis=0)
        row(f"{ndtr(distance / 2):.3f}", f"{exact_bits(distance):.3f}", f"{a:.3f}", f"{b:.3f}", f"{c:.3f}", f"{d:.0f}",
            f"{e:.0f}", f"{f:.0f}", said)  # fmt: skip


def verdict(runs: int, seed: int) -> None:
    """METHOD 4.8's table: 768 features, through probes, transported probes, answers and the rule."""
    known = {
        "connector lost it": "[PROJ 1.00, 1.00; naive 1.00]",
        "language model ignores it": "[LM 1.00, 1.00; naive 1.00]",
        "all good": "[OK 1.00, 1.00; naive 1.00]",
        "tower lost it": "[ENC .62, .80, else not testable; naive 1.00]",
        "weak signal": "[naive: encoder lost it .97-1.00]",
    }
    head("truth", "n", "runs", "verdicts", "wrong", "open", "naive rule", "METHOD")
    for truth in planted.TRUTHS:
        for n in (134, 200):
            said, naive = Counter(), Counter()
            outcomes = Counter()
            for found in judged(truth, n, runs, seed):
                said.update([found.code])
                outcomes.update([planted.outcome(truth, found)])
                naive.update([naive_rule(found.inputs)])
            words, simple = (", ".join(f"{a} {b / runs:.2f}" for a, b in c.most_common()) for c in (said, naive))
            row(truth, n, runs, words, f"{outcomes['wrong'] / runs:.2f}", f"{outcomes['open'] / runs:.2f}", simple,
                known.get(truth, ""))  # fmt: skip


def judged(truth: planted.Truth, n: int, runs: int, seed: int) -> Iterator[planted.Failure]:
    """The verdicts on planted stages."""
    for k in range(runs):
        given = planted.planted(truth, n, n, 768, np.random.default_rng([seed, 7, planted.TRUTHS.index(truth), n, k]),
                                pool=1600)  # fmt: skip
        yield planted.judge(given, seed=k, permutations=199, repeats=2, language_model=False)


def naive_rule(inputs: dict[str, object]) -> str:
    """What accuracies alone would say: below .65 the encoder, a drop of .05 the connector or the language model."""
    encoder, connector, raw = (float(inputs[k]) for k in ("encoder_score", "connector_score", "answer_raw"))  # type: ignore[arg-type]
    if encoder < 0.65:
        return "encoder"
    return "connector" if encoder - connector > 0.05 else "language model" if connector - raw > 0.05 else "none"


PARTS = {
    "transport": transport_,
    "text": text,
    "erasure": erasure_,
    "information": information_,
    "verdict": verdict,
    "no-pool": no_pool,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables that are named, all of them without any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    for name in given.parts or PARTS:
        print(f"\n{name}, {given.runs} data sets a row\n")
        PARTS[name](given.runs, given.seed)


if __name__ == "__main__":
    main()

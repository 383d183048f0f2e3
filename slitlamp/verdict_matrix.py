"""The verdict across stages against planted truth: what is said of models of known failure, for data of one kind."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slitlamp.calibrate import exact
from slitlamp.errors import UsageError, WorkerKilledError

if TYPE_CHECKING:
    from probes.stages.failure import Failure

WIDEST = 200  # letters of a line of the matrix
DOCUMENT = "verdicts.json"
SAID = {
    "encoder": "encoder lost it",
    "connector": "connector lost it",
    "language_model": "language model",
    "RESPONSE_BIAS": "response bias",
    "TEXT_DIRECTION": "texts' direction",
    "TEXT_THRESHOLD": "texts' threshold",
    "none": "nothing lost",
    "inconclusive": "cannot say",
}
STEPS = {  # steps that lose nothing, whatever is planted before or behind them
    "to_connector": (
        "badly conditioned connector",
        "language model ignores it",
        "constant answer",
        "all good",
        "texts fit the images",
        "texts misaligned",
        "texts' threshold off",
    ),
    "text_threshold": ("texts fit the images", "texts misaligned"),
    "to_language_model": ("badly conditioned connector", "constant answer", "response bias", "all good"),
}


@dataclass(frozen=True, kw_only=True)
class MatrixSetting:
    """The data a user means to bring, and how many data sets of each truth are planted.

    Items of one group share half of their variance; stages are `width` features wide.
    """

    items: int = 120
    groups: int = 120
    width: int = 192
    runs: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse, as a UsageError, what cannot be judged."""
        if self.groups < 20:
            raise UsageError(f"--groups {self.groups}: below 20 groups the instrument says nothing; give 20 or more")
        if self.groups > self.items:
            raise UsageError(f"--groups {self.groups} is more than --items {self.items}: every group holds an item")
        if self.runs < 1 or self.width < 8:
            raise UsageError("--verdicts needs --runs 1 or more and --width 8 or more")

    @property
    def command(self) -> str:
        """The command line that repeats it."""
        flags = (
            f"--items {self.items} --groups {self.groups} --width {self.width} --runs {self.runs} --seed {self.seed}"
        )
        return f"python -m experiments.calibrate --verdicts {flags}"

    def line(self) -> str:
        """What is planted, in words."""
        return f"{self.items} items in {self.groups} groups, stages {self.width} features wide, {self.runs} data sets"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One planted truth: how often each verdict was said, and how often it was right, wrong, or left open.

    `covered` are the intervals of steps that lose nothing which hold 0, of `steps`.
    """

    truth: str
    said: dict[str, int]
    codes: dict[str, int]
    right: int
    wrong: int
    open: int
    covered: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The confusion matrix of verdicts."""

    setting: MatrixSetting
    rows: list[Row]

    @property
    def wrong(self) -> tuple[int, int]:
        """Wrong definite verdicts, of how many definite ones."""
        return sum(r.wrong for r in self.rows), sum(r.wrong + r.right for r in self.rows)

    @property
    def sentences(self) -> list[str]:
        """What the matrix says of the instrument at this size."""
        from probes.stages.planted import RIGHT

        wrong, definite = self.wrong
        runs = sum(r.right + r.wrong + r.open for r in self.rows)
        sound = [r for r in self.rows if RIGHT[r.truth][0] != "connector"]
        blamed, spared = sum(r.said["connector"] for r in sound), sum(r.right + r.wrong + r.open for r in sound)
        covered, steps = sum(r.covered for r in self.rows), sum(r.steps for r in self.rows)
        lines = [
            f"Of {definite} definite verdicts {wrong} are wrong" + _span(wrong, definite)
            + f"; of {runs} data sets {runs - definite} are left open.",
            f"A connector, or joint space, that loses nothing was called a connector failure in {blamed} of {spared}"
            + _span(blamed, spared) + ".",
        ]  # fmt: skip
        if steps:
            held = f"{covered} of {steps}" + _span(covered, steps)
            lines.append(f"The interval of a step that loses nothing holds 0 in {held}.")
        return lines

    @property
    def table(self) -> list[dict[str, str]]:
        """A row for each planted truth: verdicts, and how often they were right."""
        rows = []
        for r in self.rows:
            n = r.right + r.wrong + r.open
            row = {"planted": r.truth} | {title: str(r.said[name] or "") for name, title in SAID.items()}
            row |= {name: f"{count}/{n}" + _span(count, n) for name, count in (("right", r.right), ("wrong", r.wrong))}
            rows.append(row | {"step holds 0": f"{r.covered}/{r.steps}" if r.steps else ""})
        return rows

    def text(self) -> str:
        """Table and sentences for a terminal."""
        from slitlamp.reports.text import filled, fitted

        first = ("planted", "right", "wrong", "step holds 0")  # a narrow terminal leaves out the last columns
        rows = [{name: row[name] for name in first} | row for row in self.table]
        said = [filled(line) for line in (self.setting.line() + " of each truth", *self.sentences)]
        return "\n".join([said[0], "", fitted(rows, most=WIDEST, whole=True), "", *said[1:]])

    def markdown(self) -> str:
        """Table and sentences as Markdown."""
        from slitlamp.reports.markdown import table

        heads = list(self.table[0])
        body = table(heads, [list(row.values()) for row in self.table], [False, *[True] * (len(heads) - 1)])
        return "\n".join([self.setting.line() + " of each truth", "", body, *self.sentences, ""])

    def document(self) -> dict[str, Any]:
        """The matrix for a program."""
        return {
            "schema": 1, "experiment": "calibrate", "command": self.setting.command, "setting": asdict(self.setting),
            "rows": [asdict(row) for row in self.rows], "sentences": self.sentences,
        }  # fmt: skip


def asked(flags: Mapping[str, Any], plain: Mapping[str, Any]) -> MatrixSetting:
    """The setting that the flags of `experiments.calibrate --verdicts` describe; `plain` are its flags' defaults.

    Raises:
        UsageError: a flag that has nothing to act on here, or a setting that cannot be judged.
    """
    used = ("items", "groups", "width", "runs", "seed")
    idle = [name for name, value in flags.items() if name not in used and value != plain[name]]
    if idle:
        raise UsageError(f"--{idle[0]} has nothing to act on: --verdicts plants two classes along a power spectrum")
    return MatrixSetting(
        **{name: flags[name] for name in used if name != "groups"},
        groups=flags["items"] if flags["groups"] is None else flags["groups"],
    )


KIND = "verdicts"  # of work, by which its pace is kept


def matrix(
    setting: MatrixSetting, jobs: int | None = None, out: Path | None = None, *, replace: bool = False
) -> Matrix:
    """Plant every truth as often as is asked, judge each data set, count, and write table and figure into `out`.

    Raises:
        UsageError: `out` holds the matrix of another setting, and is not to be written over by `replace`.
    """
    from slitlamp.disk import output_folder
    from slitlamp.log import say

    if out is None:
        return _planted(setting, jobs)
    with output_folder(out, DOCUMENT, setting.command, replace=replace):
        counted = _planted(setting, jobs)
        say(f"files in {out}: {', '.join(written(counted, out))}")
    return counted


def _planted(setting: MatrixSetting, jobs: int | None) -> Matrix:
    from joblib import Parallel, delayed, effective_n_jobs

    from probes.stages.planted import TRUTHS
    from probes.stages.planted_texts import TEXT_TRUTHS
    from slitlamp.log import progress
    from slitlamp.probing.pace import remember

    every = (*TRUTHS, *TEXT_TRUTHS)
    pairs = [(truth, run) for truth in every for run in range(setting.runs)]
    found: dict[str, list[Failure]] = {truth: [] for truth in every}
    work, began = Parallel(n_jobs=jobs or -1, return_as="generator"), time.perf_counter()
    with progress(len(pairs), "calibrate") as bar:
        try:
            judged = work(delayed(_judged)(setting, *pair) for pair in pairs)
            for (truth, _), failure in zip(pairs, judged, strict=True):
                found[truth].append(failure)
                bar.update(1)
        except BrokenProcessPool:
            raise WorkerKilledError("a worker was killed (out of memory?); --jobs 1 needs the least memory") from None
    each = (time.perf_counter() - began) * effective_n_jobs(jobs or -1) / len(pairs)
    remember(KIND, setting.items, setting.width, each)
    return Matrix(setting=setting, rows=[_row(truth, many) for truth, many in found.items()])


def _judged(setting: MatrixSetting, truth: Any, run: int) -> "Failure":
    import numpy as np
    from threadpoolctl import threadpool_limits

    from probes.stages.planted import TRUTHS, judge, planted
    from probes.stages.planted_texts import TEXT_TRUTHS, judge_texts, planted_texts

    size = setting.items, setting.groups, setting.width
    if truth in TEXT_TRUTHS:
        rng = np.random.default_rng([setting.seed, run, TEXT_TRUTHS.index(truth), 92])
        with threadpool_limits(1):
            return judge_texts(planted_texts(truth, *size, rng), seed=setting.seed + run)
    rng = np.random.default_rng([setting.seed, run, TRUTHS.index(truth), 91])
    with threadpool_limits(1):
        return judge(planted(truth, *size, rng), seed=setting.seed + run)


def _row(truth: str, found: Sequence["Failure"]) -> Row:
    from probes.stages.planted import outcome

    ends = Counter(outcome(truth, one) for one in found)
    first = [one.code.partition("+")[0] for one in found]
    said = Counter(code if code in SAID else one.failure for code, one in zip(first, found, strict=True))
    held = [
        one.inputs[f"{step}_low"] <= 0 <= one.inputs[f"{step}_high"]
        for step, truths in STEPS.items() if truth in truths
        for one in found if one.inputs.get(f"{step}_low") is not None
    ]  # fmt: skip
    return Row(
        truth=truth, said={name: said[name] for name in SAID}, codes=dict(Counter(one.code for one in found)),
        right=ends["right"], wrong=ends["wrong"], open=ends["open"], covered=sum(held), steps=len(held),
    )  # fmt: skip


def _span(count: int, runs: int) -> str:
    return " [{:.2f}, {:.2f}]".format(*exact(count, runs)) if runs else ""


def figure(found: Matrix, width: float = 85) -> Any:
    """The matrix as shares of the data sets of each truth, a frame round the right verdict; `width` in mm."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    from probes.stages.planted import RIGHT
    from slitlamp.reports.plots import MM, STYLE

    shares = np.array([[row.said[name] for name in SAID] for row in found.rows], float)
    shares /= shares.sum(axis=1, keepdims=True)
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=(width * MM, (30 + 6.5 * len(found.rows)) * MM), layout="constrained")
        axes = drawn.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
        for i, row in enumerate(found.rows):
            failure, code = RIGHT[row.truth]
            due = list(SAID).index(code if code in SAID else failure)
            axes.add_patch(Rectangle((due - 0.47, i - 0.46), 0.94, 0.92, fill=False, lw=0.8, ec="#D55E00"))
            for j, name in enumerate(SAID):
                if row.said[name]:
                    colour = "white" if shares[i, j] > 0.6 else "black"
                    axes.text(j, i, str(row.said[name]), ha="center", va="center", color=colour)
        axes.set_xticks(range(len(SAID)), list(SAID.values()), rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(found.rows)), [row.truth for row in found.rows])
        axes.tick_params(length=0)
        axes.set_xlabel(f"verdict of {found.setting.runs} data sets, right: framed")
        axes.set_ylabel("planted")
    return drawn


def written(found: Matrix, out: Path) -> list[str]:
    """Write verdicts.json, verdicts.md and the figure into `out`; the names of the files."""
    from cache import write_atomically
    from slitlamp.disk import keep_earlier
    from slitlamp.records import as_json
    from slitlamp.reports import plots

    out.mkdir(parents=True, exist_ok=True)
    document = found.document()
    keep_earlier(out, DOCUMENT, document, also=["verdicts.md", *(f"verdicts.{kind}" for kind in plots.SUFFIXES)])
    write_atomically(out / DOCUMENT, as_json(document))
    write_atomically(out / "verdicts.md", found.markdown().encode())
    return [DOCUMENT, "verdicts.md", *plots.written(lambda: figure(found), out / "verdicts")]

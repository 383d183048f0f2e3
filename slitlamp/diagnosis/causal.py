"""Whether the model uses what its connector hands on: it is erased, exchanged and pushed, and the answers are watched.

All edits act on every position of the image, while the prompt is read; what erases or pushes is fitted on the training
part of each item's fold (METHOD 4.7). An erasure that changes nothing shows little by itself: the exchange of whole
images bounds from above what it could show.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import probes
from encoders.answering import ways
from encoders.answering.model import Edit as TensorEdit
from encoders.answering.model import Prompt
from encoders.answering.prompts import FORMATS
from probes import ProbeError
from probes.stages.answers import centred, log_odds
from probes.stages.contrast import Contrast, contrast, paired, scored_order
from probes.stages.erasure import Edit, Moments, leace, random_erasure, random_steps, slope
from probes.stages.failure import Causal
from probes.stats.loss import margin_of
from probes.stats.measurement import Difference
from probes.stats.plan import ALPHA, FEW
from probes.stats.scores import of_mean
from slitlamp.answers.answered import Presentation
from slitlamp.answers.ask import partners
from slitlamp.answers.inquiry import Inquiry, of_question
from slitlamp.answers.settings import AskSettings
from slitlamp.answers.stored import StoredModel
from slitlamp.encoding.encoder import errors_of_device
from slitlamp.errors import UsageError
from slitlamp.keys import array_digest, digest
from slitlamp.log import progress
from slitlamp.probing.state import Run
from slitlamp.questions import Question

SCHEMA = 1
PARTS = 64  # places of an image at each of which something of its own is erased; of more tokens, neighbours share one
WIDE = 512  # directions of the tokens, those of most variance, in which is erased
DOSES = (-1.0, 1.0)  # of steering, in halves of the way from one class's mean to the other's
ERASED, RANDOM, EXCHANGED = "erased", "random direction erased", "exchanged labels erased"
OTHER, SAME, NONE = "exchanged with the other class", "exchanged with the same class", "as it is"
PUSHED, ASIDE = "pushed", "pushed at random"
FOLLOW, GIVEN = "answers that follow the exchange", "area under the curve that a push gives"
LOST, SHARE, GAINED = "AUC lost", "share that follows, beyond the same class", "AUC area given"  # what an effect is
STILL = 0.01  # nats: log-odds that lie no further apart are those of a model that says the same to every image
DRAWN = "a direction for each item, of equal Mahalanobis length"  # in the key of what was answered

Tokens = list[np.ndarray]
Change = Callable[[int, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Checked:
    """What the causal check found: for the rule that decides, and a row for each edit."""

    causal: Causal
    rows: Sequence[dict[str, Any]]
    notes: Sequence[str] = ()


def causal_check(
    run: Run, question: Question, model: StoredModel, asking: AskSettings, others: Sequence[Question] = ()
) -> Checked:
    """Ask the model with each edit of what its connector hands on; what is known is not asked again.

    Of `others` the first that is asked of enough of the same images is the unrelated question.

    Raises:
        EncoderError: the model cannot be asked so.
    """
    plan, inquiry = run.plan(question), of_question(question, asking)
    trial = Trial(model=model, inquiry=inquiry, asking=asking, plan=plan, tokens=[], made={})
    seed = run.settings.probe.seed
    found = {NONE: trial.log_p(NONE, None)}
    notes: list[str] = []
    partner = {OTHER: partners(inquiry, same=False, seed=seed), SAME: partners(inquiry, same=True, seed=seed)}
    for name, change, more, orders in _edits(trial, partner):
        try:
            found[name] = trial.log_p(name, change, more, orders)
        except ProbeError as error:
            notes.append(f"not {name}: {error}")
    told = _told(question, plan, found, partner, notes)
    if ERASED not in found:
        return told
    beside, why = unrelated(trial, question, others)
    return replace(told, rows=[*told.rows, *beside], notes=[*told.notes, *([why] if why else [])])


def _edits(
    trial: "Trial", partner: dict[str, np.ndarray]
) -> Iterator[tuple[str, Callable[[], Change], str, int | None]]:
    """Every edit: its name, what makes it, what else it rests on, in how many orders it is asked (None: all)."""
    plan = trial.plan
    for name, labels, like in ((ERASED, plan.y, False), (EXCHANGED, plan.permuted[0], False), (RANDOM, plan.y, True)):
        yield name, lambda labels=labels, like=like: trial.erasure(labels, at_random=like), "", None
    for name, with_whom in partner.items():
        yield name, lambda w=with_whom: trial.exchange(w), array_digest(with_whom), None
    if len(plan.classes) == 2:
        for name in (PUSHED, ASIDE):
            for dose in DOSES:
                change = lambda d=dose, n=name: trial.push(d, at_random=n == ASIDE)  # noqa: E731
                yield f"{name} {dose:+g}", change, DRAWN if name == ASIDE else "", 1


def unrelated(trial: "Trial", question: Question, others: Sequence[Question]) -> tuple[list[dict[str, Any]], str]:
    """What another question of the same images loses by the erasure: a row, or why there is none.

    An erasure that took more than the fact itself would change that as well.
    """
    for other in others:
        if other.name == question.name or other.classes is None:
            continue
        known = dict(zip(other.pictures.contents, other.y, strict=True))
        y = np.array([known.get(content, -1) for content in question.pictures.contents])
        there = y >= 0
        if len(set(question.groups[there])) < FEW:
            continue
        try:
            words = of_question(other, replace(trial.asking, question=(), options=(), paraphrases=1))
            plan = probes.plan(
                y[there], question.groups[there], classes=other.classes, seed=trial.plan.seed, repeats=1,
                permutations=99,
            )  # fmt: skip
        except (ProbeError, UsageError):
            continue
        n = len(question.ids)
        asked = replace(trial.inquiry, prompts=[words.prompts[0]] * n, options=[words.options[0]] * n, y=y)
        return [_beside(question.name, other.name, replace(trial, inquiry=asked), there, plan)], ""
    return [], "no unrelated question was asked of the same images: whether the erasure takes more is not known"


def _beside(task: str, other: str, trial: "Trial", there: np.ndarray, plan: Any) -> dict[str, Any]:
    """How the answers to another question change, at the items of which its answer is known."""
    before = log_odds(trial.log_p(NONE, None))[there]
    after = log_odds(trial.log_p(ERASED, lambda: trial.erasure(trial.plan.y, at_random=False)))[there]
    a, b = (scored_order(margin[None], plan.y, plan) for margin in (before, after))
    loss, level = contrast(paired(a, b, plan), margin_of(plan)), before - centred(before, plan)
    return {
        "task": task, "edit": f"{ERASED}, and {other} is asked", "measure": LOST, "auc": b.mean, "effect": loss.loss,
        "low": loss.low, "high": loss.high, "state": loss.state, "moved": float(np.abs(after - before).mean()),
        "answers_changed": float((_said(after - level) != _said(before - level)).mean()),
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """One model and question with the answers under edits; `tokens` are those of the connector once they are needed."""

    model: StoredModel
    inquiry: Inquiry
    asking: AskSettings
    plan: Any
    tokens: Tokens
    made: dict[str, Any]

    def batches(self, shift: int) -> Iterator[tuple[int, list[Prompt]]]:
        """The question to every item, the options in one order: batches, with the number of the first of each."""
        form, size, n = FORMATS[self.asking.format], self.model.settings.batch_size, len(self.inquiry.prompts)
        order = Presentation(shift=shift).order(len(self.inquiry.options[0][0]))
        for start in range(0, n, size):
            found = []
            for i in range(start, min(start + size, n)):
                text = form.text(self.inquiry.prompts[i][0], tuple(self.inquiry.options[i][0][c] for c in order))
                found.append(Prompt(text=text, start=form.start, image=self.inquiry.pictures.read(i)))
            yield start, found

    def log_p(
        self, name: str, change: Callable[[], Change] | None, more: str = "", orders: int | None = None
    ) -> np.ndarray:
        """Log-probability of each class in the orders of the options, [A, n, K], under an edit; remembered.

        A slope between doses needs one of the `orders`: a preferred letter is the same under all doses.
        """
        k = len(self.inquiry.options[0][0])
        many = orders or k
        key = self.key(f"{name}, {many} orders", more)
        memo = self.model.store.memo("causal")
        known = memo.get_many([key]).get(key)
        if known is None:
            edit = None if change is None else change()
            found = np.empty((many, len(self.plan.y), k))
            for shift in range(many):
                scores = self._asked(shift, edit, f"{name}, order {shift + 1} of {many}")
                found[shift][:, list(Presentation(shift=shift).order(k))] = scores
            known = found.tolist()
            memo.put_many({key: known})
        return np.asarray(known, np.float64)

    def _asked(self, shift: int, edit: Change | None, what: str) -> np.ndarray:
        rows, k = [], len(self.inquiry.options[0][0])
        with progress(len(self.inquiry.prompts), f"{self.model.source}: {what}") as bar:
            for start, some in self.batches(shift):
                with errors_of_device(self.model.spec, self.model.device):
                    changed = None if edit is None else _on_tensors(edit, start)
                    scores = ways.letter_scores(self.model.load(), some, [k] * len(some), changed)
                rows += [one - np.logaddexp.reduce(one) for one in scores]
                bar.update(len(some))
        return np.stack(rows)

    def key(self, name: str, more: str) -> str:
        """What an answer under an edit rests on."""
        form = FORMATS[self.asking.format]
        return digest(
            [
                SCHEMA, self.model.fingerprint, self.model.identity.template, self.model.device.split(":")[0],
                self.model.dtype, form.name, [list(one[0]) for one in self.inquiry.options], name, more,
                [one[0] for one in self.inquiry.prompts], list(self.inquiry.pictures.contents),
                dict(self.inquiry.policy), array_digest(self.plan.y), array_digest(self.plan.folds[0]),
                array_digest(self.plan.permuted[0]), self.plan.seed, PARTS, WIDE, DOSES,
            ]
        )  # fmt: skip

    def connector(self) -> Tokens:
        """What the connector hands on for each item, float32 [t, d]; computed once."""
        if not self.tokens:
            for _, some in self.batches(0):
                self.tokens.extend(self.model.load().connector(some))
        return self.tokens

    def parts(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Means [n, parts, d] of the tokens of each place, and the numbers of the tokens of each.

        Raises:
            ProbeError: images that have unequal numbers of tokens.
        """
        tokens = self.connector()
        counts = {len(one) for one in tokens}
        if len(counts) > 1:
            raise ProbeError(f"images have from {min(counts)} to {max(counts)} tokens: no place is the same in all")
        places = np.array_split(np.arange(counts.pop()), min(PARTS, len(tokens[0])))
        return np.stack([[one[where].mean(axis=0) for where in places] for one in tokens]).astype(np.float64), places

    def subspace(self) -> np.ndarray:
        """The directions [d, r] of most variance of the places' means, no label used."""
        if "subspace" not in self.made:
            means, _ = self.parts()
            rows = means.reshape(-1, means.shape[-1])
            rows = rows - rows.mean(axis=0)
            if rows.shape[1] <= WIDE:
                self.made["subspace"] = np.eye(rows.shape[1])
            else:
                _, vectors = np.linalg.eigh(rows.T @ rows)
                self.made["subspace"] = vectors[:, -WIDE:]
        return self.made["subspace"]

    def erasure(self, labels: np.ndarray, *, at_random: bool) -> Change:
        """Erase at each place what tells the labels apart there, or as many random directions, by fold.

        Raises:
            ProbeError: no place varies, or images have unequal numbers of tokens.
        """
        means, places = self.parts()
        basis, fold = self.subspace(), self.plan.folds[0]
        inner = means @ basis
        edits: dict[tuple[int, int], Edit] = {}
        problem = ProbeError("no place of the image varies")
        for part in range(self.plan.n_folds):
            train = fold != part
            for p in range(len(places)):
                moments = Moments.of(inner[train, p], labels[train].astype(np.int64), classes=len(self.plan.classes))
                try:
                    edit = leace(moments, shrinkage="oas")
                except ProbeError as error:  # a border, or a black corner: the same in all images of the part
                    problem = error
                    continue
                rng = np.random.default_rng([self.plan.seed, part, p, 105])
                edits[part, p] = random_erasure(moments, edit, rng) if at_random else edit

        if not edits:
            raise problem

        def change(i: int, tokens: np.ndarray) -> np.ndarray:
            found = tokens.astype(np.float64)
            for p, where in enumerate(places):
                edit = edits.get((int(fold[i]), p))
                if edit is not None:
                    low = found[where] @ basis
                    found[where] += (edit.apply(low) - low) @ basis.T
            return found

        return change

    def exchange(self, partner: np.ndarray) -> Change:
        """The tokens of each item's partner in place of its own."""
        tokens = self.connector()
        alone = int((partner < 0).sum())
        if alone:
            raise ProbeError(f"{alone} of {len(partner)} items have no partner in another group")

        def change(i: int, own: np.ndarray) -> np.ndarray:
            other = tokens[int(partner[i])]
            if other.shape != own.shape:
                raise ProbeError("an item and its partner have unequal numbers of tokens: they cannot be exchanged")
            return other

        return change

    def push(self, dose: float, *, at_random: bool) -> Change:
        """Move every token by a dose of half the way between the classes' means at its place, or as far at random.

        As far is of equal Mahalanobis length at every place (METHOD 4.7). Every item has a random direction of its own:
        how far slopes along random directions spread is then known.
        """
        places, fold = self.parts()[1], self.plan.folds[0]
        steps = self.steps()
        own = self.random_steps() if at_random else None

        def change(i: int, tokens: np.ndarray) -> np.ndarray:
            found = tokens.astype(np.float64)
            step = steps[int(fold[i])] if own is None else own[i]
            for p, where in enumerate(places):
                found[where] += dose * step[p]
            return found

        return change

    def steps(self) -> list[np.ndarray]:
        """Half the way [parts, d] from one class's mean to the other's at each place, by fold: the pattern Sigma w."""
        (means, _), fold, y = self.parts(), self.plan.folds[0], self.plan.y
        train = [fold != part for part in range(self.plan.n_folds)]
        return [(means[some & (y == 1)].mean(axis=0) - means[some & (y == 0)].mean(axis=0)) / 2 for some in train]

    def random_steps(self) -> np.ndarray:
        """For each item and place a random step [n, parts, d] of the same length as that of its fold."""
        if "random steps" not in self.made:
            means, places = self.parts()
            basis, fold, steps = self.subspace(), self.plan.folds[0], self.steps()
            inner, found = means @ basis, np.zeros_like(means)
            for part in range(self.plan.n_folds):
                held = fold == part
                for p in range(len(places)):
                    rng = np.random.default_rng([self.plan.seed, part, p, 104])
                    moments = Moments.of(inner[~held, p], self.plan.y[~held])
                    with suppress(ProbeError):  # a place that does not vary, where no step leads anywhere
                        drawn = random_steps(moments, steps[part][p] @ basis, int(held.sum()), rng)
                        found[held, p] = drawn @ basis.T
            self.made["random steps"] = found
        return self.made["random steps"]


def _on_tensors(edit: Change, start: int) -> TensorEdit:
    """An edit of items as a model applies it to the prompts of a batch, whose first item has the number `start`."""
    import torch

    def changed(number: int, tokens: torch.Tensor) -> torch.Tensor:
        made = edit(start + number, tokens.detach().float().cpu().numpy())
        return torch.as_tensor(made, dtype=tokens.dtype, device=tokens.device)

    return changed


def _told(
    question: Question, plan: Any, found: dict[str, np.ndarray], partner: dict[str, np.ndarray], notes: list[str]
) -> Checked:
    """The contrasts of the rule, and a row for each edit."""
    base = log_odds(found[NONE])
    level = base - centred(base, plan)  # the threshold of the class shares, so that a preferred option hides nothing
    rows = []
    losses: dict[str, Contrast] = {}
    for name, log_p in found.items():
        margin = log_odds(log_p)
        same = log_odds(found[NONE][: len(log_p)])  # unchanged, in the orders in which this edit was asked
        middle = same - centred(same, plan)
        after, before = scored_order(margin[None], plan.y, plan), scored_order(same[None], plan.y, plan)
        losses[name] = contrast(paired(before, after, plan), margin_of(plan))
        flipped = float((_said(margin - middle) != _said(same - middle)).mean())
        rows.append(
            {
                "task": question.name, "edit": name, "measure": LOST, "auc": after.mean, "effect": losses[name].loss,
                "low": losses[name].low, "high": losses[name].high, "state": losses[name].state,
                "answers_changed": flipped, "moved": float(np.abs(margin - same).mean()),
            }
        )  # fmt: skip
    swap = None
    if OTHER in found and SAME in found:
        other = plan.y[partner[OTHER]]
        follow = [(_said(log_odds(found[name]) - level) == other).astype(np.float64) for name in (OTHER, SAME)]
        swap = contrast(paired(of_mean(follow[0]), of_mean(follow[1]), plan), margin_of(plan))
    steering = None
    if all(f"{name} {dose:+g}" in found for name in (PUSHED, ASIDE) for dose in DOSES):
        slopes = [
            slope(DOSES, np.stack([log_odds(found[f"{name} {dose:+g}"])[:, 0] for dose in DOSES]))
            for name in (PUSHED, ASIDE)
        ]
        slopes = [one / _spread(base[:, 0], plan.y) for one in slopes]
        moved = beyond(paired(of_mean(slopes[0]), of_mean(slopes[1]), plan), slopes[1], plan)
        steering = contrast(area_of(moved), margin_of(plan))
    first: list[dict[str, Any]] = []  # what decides
    causal = Causal(erasure=losses.get(ERASED), swap=swap, steering=steering)
    for name, measure, one in ((FOLLOW, SHARE, swap), (GIVEN, GAINED, steering)):
        if one is not None:
            first.append(
                {"task": question.name, "edit": name, "measure": measure, "auc": None, "effect": one.loss,
                 "low": one.low, "high": one.high, "state": one.state, "answers_changed": None, "moved": None}
            )  # fmt: skip
    return Checked(causal=causal, rows=[*first, *rows], notes=notes)


def beyond(found: Difference, others: np.ndarray, plan: Any) -> Difference:
    """A slope less the mean of those along random directions, with the interval of one more such direction.

    A step into any direction moves answers a little; one direction is told from random ones by their spread.
    """
    from scipy.special import stdtrit

    if found.high is None or plan.n_groups < 2:
        return found
    t = float(stdtrit(plan.n_groups - 1, 1 - ALPHA / 2))
    half = t * float(np.hypot((found.high - found.score) / t, others.std(ddof=1)))
    return Difference(score=found.score, low=found.score - half, high=found.score + half, p=None)


def _spread(odds: np.ndarray, y: np.ndarray) -> float:
    """How far the log-odds of one class lie apart, as a standard deviation, both classes pooled."""
    within = [odds[y == c] - odds[y == c].mean() for c in np.unique(y)]
    return max(float(np.sqrt(np.mean(np.square(np.concatenate(within))))), STILL)


def area_of(slope: Difference) -> Difference:
    """A slope in standard deviations of the answers as the area under the curve, above .5, that the push alone gives.

    Items pushed by half of the way to either class stand twice the slope apart: two normal classes of unit variance
    that far apart have the area Phi(2 slope / sqrt 2).
    """
    from scipy.special import ndtr

    def area(shift: float) -> float:
        return float(ndtr(np.sqrt(2) * shift) - 0.5)

    low, high = (None if end is None else area(end) for end in (slope.low, slope.high))
    return Difference(score=area(slope.score), low=low, high=high, p=None)


def _said(margin: np.ndarray) -> np.ndarray:
    return (margin[:, 0] > 0).astype(int) if margin.shape[1] == 1 else margin.argmax(axis=1)

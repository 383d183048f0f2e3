"""What a model answers as a stage: bias-free, as given, and with the image taken away; and each item's quadrant."""

from typing import Any

import numpy as np

from probes.stages.answers import BiasFree, bias_free, centred, each_class
from probes.stages.failure import Answer, Knowledge
from probes.stats.fixed import measure_fixed
from slitlamp.answers.answered import GREY, NO_IMAGE, AnsweredQuestion, Answers
from slitlamp.answers.settings import LETTER
from slitlamp.diagnosis.chain import ReadStage, untrained_stage
from slitlamp.questions import Question

SURE = 0.98  # what stands for the probability of an answer of which nothing but the letter is known
SAME = 1e-6  # log-probabilities that differ by less are those of one prompt, rounded
QUADRANTS = {
    (True, True): "ideal", (False, True): "fragile", (True, False): "dangerous", (False, False): "worst",
}  # fmt: skip


def told_of(question: Question, plan: Any, found: AnsweredQuestion) -> tuple[Answer, BiasFree, ReadStage]:
    """The bias-free answers as the rule that decides takes them, and as a stage of the chain."""
    letter = main_way(found)
    got = bias_free(log_odds(letter, len(plan.classes)), plan, chosen=chosen_of(letter))
    answer = Answer(
        score=got.auc.value, low=got.auc.low, high=got.auc.high, p=got.auc.p, raw=got.raw.value, bias=got.bias
    )
    score = each_class(centred(got.margin, plan))
    stage = untrained_stage(measure_fixed(score, question.features(score), plan, "answer"), "answer")
    return answer, got, stage


def main_way(found: AnsweredQuestion) -> Answers:
    """The letter's answers, or those of the first way that there is."""
    return found.ways[LETTER] if LETTER in found.ways else next(iter(found.ways.values()))


def log_odds(answers: Answers, k: int) -> np.ndarray:
    """Log-probabilities [A, n, K] of the classes in each ask; of answers without scores what the letter alone says."""
    if answers.logodds is not None:
        there = np.isfinite(answers.logodds)  # an ask that an item does not have says nothing of it
        return np.ascontiguousarray(np.where(there, answers.logodds, np.log(1 / k)).transpose(1, 0, 2))
    chosen = answers.chosen.T[..., None]
    one = np.where(chosen == np.arange(k), SURE, (1 - SURE) / max(k - 1, 1))
    return np.log(np.where(chosen >= 0, one, 1 / k))


def mean_of(answers: Answers, k: int) -> np.ndarray:
    """The mean log-probabilities [n, K] over all asks, so over all orders of the options."""
    return log_odds(answers, k).mean(axis=0)


def chosen_of(answers: Answers) -> np.ndarray:
    """The class that was answered in each ask [A, n], -1 where none was, or several tie."""
    return np.where(answers.chosen >= 0, answers.chosen, -1).T


def blind_stages(question: Question, plan: Any, found: AnsweredQuestion) -> list[ReadStage]:
    """What is answered without any image, and beside a grey one: what the text alone gives away."""
    stages = []
    for name in (NO_IMAGE, GREY):
        answers = found.blind.get(name)
        if answers is None:
            continue
        score = mean_of(answers, len(plan.classes))
        measured = measure_fixed(score, question.features(score), plan, name)
        stages.append(untrained_stage(measured, name, "blind", blind=bool((np.ptp(score, axis=0) < SAME).all())))
    return stages


def knowledge_of(found: AnsweredQuestion) -> Knowledge | None:
    """The share of easy renderings that is answered rightly, in the better of the ways of giving the fact."""
    shares = {} if found.knowledge is None else found.knowledge.share
    return Knowledge(score=max(shares.values())) if shares else None


def item_columns(found: AnsweredQuestion, k: int) -> dict[str, np.ndarray]:
    """Of each item: the answer, whether it is stable under paraphrase and order, and changed without the image.

    `quadrant` is ideal (stable, changed), fragile (changed, not stable), dangerous (stable without the image) or worst;
    "" where no blind answer is known.
    """
    letter = main_way(found)
    said = majority(letter, k)
    stable = (letter.chosen == said[:, None]).all(axis=1)
    columns: dict[str, np.ndarray] = {"said": _names(found, said), "stable": stable.astype(int)}
    blind = found.blind.get(NO_IMAGE)
    if blind is not None:
        without = majority(blind, k)
        changed = without != said
        columns |= {
            "said_without_image": _names(found, without), "changed_without_image": changed.astype(int),
            "quadrant": np.array([QUADRANTS[bool(s), bool(c)] for s, c in zip(stable, changed, strict=True)]),
        }  # fmt: skip
    return columns


def majority(answers: Answers, k: int) -> np.ndarray:
    """The class of the highest mean log-probability [n], -1 where several tie."""
    mean = mean_of(answers, k)
    top = mean >= mean.max(axis=1, keepdims=True) - 1e-9
    return np.where(top.sum(axis=1) == 1, mean.argmax(axis=1), -1)


def _names(found: AnsweredQuestion, chosen: np.ndarray) -> np.ndarray:
    return np.array(["" if c < 0 else options[c] for c, options in zip(chosen, found.options, strict=True)])


def answer_rows(question: Question, found: AnsweredQuestion, got: BiasFree) -> list[dict[str, Any]]:
    """The bias-free and the raw answers with their intervals, invalid answers and what is preferred."""
    letter = main_way(found)
    rates = {"bias-free AUC": got.auc, "2AFC": got.two_afc, "bias-free accuracy": got.accuracy, "raw accuracy": got.raw}
    preferred = dict(zip(question.classes or (), got.favours, strict=True))
    rows = [
        {"task": question.name, "way": letter.way, "what": name, "value": rate.value, "low": rate.low,
         "high": rate.high, "p": rate.p, "asks": len(letter.presentations), "invalid": got.invalid}
        for name, rate in rates.items() if rate is not None
    ]  # fmt: skip
    share = ", ".join(f"{name} {value:.0%}" for name, value in preferred.items())
    return [row | {"answered": share if k == 0 else ""} for k, row in enumerate(rows)]


def is_scored(found: AnsweredQuestion) -> bool:
    """Whether log-odds of the answers are known."""
    return main_way(found).logodds is not None


def prompts_of(found: AnsweredQuestion) -> tuple[int, int]:
    """How many paraphrases and orders of the options were asked."""
    some = main_way(found).presentations
    return len({p.prompt for p in some}), len({p.shift for p in some})

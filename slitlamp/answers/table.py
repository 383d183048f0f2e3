"""Tables of answers: accuracy by way, bias, order of options, image controls, quadrant, knowledge; the long CSV."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from encoders.answering.prompts import LETTERS
from probes.pairs.scores import INVALID as INVALID_LETTER
from probes.pairs.scores import pair_scores
from slitlamp.answers import measured
from slitlamp.answers.answered import (
    GREY,
    NO_IMAGE,
    OTHER,
    SAME,
    TIE,
    UNASKED,
    AnsweredQuestion,
    Answers,
)
from slitlamp.answers.measured import Share

Row = dict[str, Any]
SHOWN = {
    NO_IMAGE: "none", GREY: "grey", OTHER: "other item, other answer", SAME: "other item, same answer"
}  # fmt: skip


def tables(answered: AnsweredQuestion) -> dict[str, list[Row]]:
    """The tables of one question as one model answered it, by name."""
    head: Row = {"model": answered.model, "task": answered.name}
    found = {
        "accuracy": [head | accuracy_row(answered, one) for one in answered.ways.values()],
        "bias": [head | bias_row(answered, one) for one in answered.ways.values() if one.logodds is not None],
        "order": [head | row for one in answered.ways.values() for row in order_row(answered, one)],
        "pairs": [head | row for one in answered.ways.values() for row in pair_row(answered, one)],
        "image": [head | row for row in image_rows(answered)],
        "quadrant": [head | row for row in quadrant_rows(answered)],
        "knowledge": [head | row for row in knowledge_rows(answered)],
    }
    return {name: rows for name, rows in found.items() if rows}


def _share(name: str, one: Share | None) -> Row:
    """A value with the ends of its interval beside it."""
    if one is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}


def accuracy_row(answered: AnsweredQuestion, answers: Answers) -> Row:
    """How often one way is right, over all items and over those with a valid answer."""
    found = measured.accuracy(answered, answers)
    return {
        "way": answers.way, "format": answers.format, "items": len(answered.ids),
        "groups": len(set(answered.groups.tolist())), "answered": found.answered.items if found.answered else 0,
        "invalid": found.invalid, "ties": found.ties, **_share("accuracy", found.first),
        **_share("accuracy_of_answered", found.answered), **_share("accuracy_of_all_prompts", found.every),
        "worst_prompt": found.worst, "best_prompt": found.best, "prompts": found.presentations,
        "chance": measured.chance(answered),
    }  # fmt: skip


def bias_row(answered: AnsweredQuestion, answers: Answers) -> Row:
    """What the mean log-odds tell, and what the raw answer loses against them."""
    found = measured.bias_free(answered, answers)
    names = LETTERS if max(p.shift for p in answers.presentations) else tuple(answered.classes or LETTERS)
    prior = ", ".join(f"{name} {p:.2f}" for name, p in zip(names, found.prior, strict=False))
    return {
        "way": answers.way, "presentations": found.presentations, **_share("auc", found.auc),
        **_share("forced_choice", found.forced), **_share("bias_free_accuracy", found.decided),
        **_share("response_bias", found.bias), "mean_probability": prior,
    }  # fmt: skip


def order_row(answered: AnsweredQuestion, answers: Answers) -> list[Row]:
    """What the order of the options does to one way; no row for a way without orders."""
    found = measured.swap(answered, answers)
    if found is None:
        return []
    return [
        {
            "way": answers.way, "questions_answered_in_all_orders": found.cells, "not_in_all": found.invalid,
            **_share("same_option", found.option), **_share("same_letter", found.letter),
        }
    ]  # fmt: skip


def pair_row(answered: AnsweredQuestion, answers: Answers) -> list[Row]:
    """MediConfusion's scores of pairs with opposite answers at the first prompt; no row where there are no such pairs.

    A pair is two images of one question, or an image and its copy, with two options.
    """
    pairs = [
        (i, j) for i, j in measured.counterfactual_pairs(answered) if len(answered.options[i]) == 2
    ]  # fmt: skip
    if not pairs:
        return []

    def letter(option: int) -> str:
        return LETTERS[option] if option >= 0 else INVALID_LETTER

    said, y = answers.chosen[:, 0], answered.y
    found = pair_scores(
        [(letter(int(said[i])), letter(int(said[j]))) for i, j in pairs],
        [(letter(int(y[i])), letter(int(y[j]))) for i, j in pairs],
    )
    both = np.array([float(said[i] == y[i] and said[j] == y[j]) for i, j in pairs])
    return [
        {
            "way": answers.way, "pairs": found.pairs, "readable_pairs": found.valids,
            **_share("set", measured.share(both, answered.groups[[i for i, _ in pairs]])),
            "individual": found.individual_accuracy, "confusion": found.confusion if found.valids else None,
            "different": found.valid_pairs, "exchanged": found.swapped,
        }
    ]  # fmt: skip


def image_rows(answered: AnsweredQuestion) -> list[Row]:
    """Accuracy with the item's own image and under each image control."""
    if not answered.blind:
        return []
    way = next(iter(answered.blind.values())).way
    own = answered.ways[way]
    first = measured.share(measured.right(own, answered.y)[:, 0], answered.groups)
    auc = measured.bias_free(answered, own).auc if own.logodds is not None else None
    rows = [{"image": "its own", "way": way, **_share("accuracy", first), **_share("auc", auc)}]
    for name in answered.blind:
        found = measured.blind(answered, name)
        rows.append(
            {
                "image": SHOWN[name], "way": way, **_share("accuracy", found.first), **_share("auc", found.auc),
                **_share("answers_as_the_shown_image", found.follows), **_share("answer_changed", found.changed),
            }
        )  # fmt: skip
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in columns} for row in rows]


def removed(answered: AnsweredQuestion) -> str | None:
    """The control that takes the image away: none at all, else the grey one."""
    return next((name for name in (NO_IMAGE, GREY) if name in answered.blind), None)


def quadrant_rows(answered: AnsweredQuestion) -> list[Row]:
    """How many items are stable under paraphrase and change when the image is removed."""
    control = removed(answered)
    if control is None:
        return []
    found = measured.quadrant(answered, control)
    says = {
        "ideal": (True, True), "fragile": (False, True), "dangerous": (True, False), "worst": (False, False)
    }  # fmt: skip
    return [
        {
            "kind": kind, "stable_under_paraphrase": stable, "changed_by_removal": changed, "removal": SHOWN[control],
            "items": found.counts[kind], "right": found.right[kind],
        }
        for kind, (stable, changed) in says.items()
    ]  # fmt: skip


def knowledge_rows(answered: AnsweredQuestion) -> list[Row]:
    """How often the letter was right where the fact stood in the prompt or in the image."""
    if answered.knowledge is None:
        return []
    known = answered.knowledge
    return [
        {"fact": name, "asked": count, "right": known.right[name], "pairs": known.pairs[name],
         "pairs_right": known.pairs_right[name], "understood": known.knows(name)}
        for name, count in known.asked.items()
    ]  # fmt: skip


def long_rows(answered: AnsweredQuestion) -> Iterator[Row]:
    """One row for each item, way, presentation and image: what was chosen, its letter, log-probabilities, the reply."""
    control = removed(answered)
    kinds = measured.quadrant(answered, control).kind if control is not None else None
    sets = [("own", answers) for answers in answered.ways.values()] + [*answered.blind.items()]
    most = max(len(options) for options in answered.options)
    for image, answers in sets:
        for i, name in enumerate(answered.ids):
            options = answered.options[i]
            for j, one in enumerate(answers.presentations):
                said = int(answers.chosen[i, j])
                if said == UNASKED:
                    continue
                order = one.order(len(options))
                shown = answered.shown.get(image)
                row: Row = {
                    "model": answered.model, "task": answered.name, "item": name, "group": str(answered.groups[i]),
                    "truth": options[int(answered.y[i])], "way": answers.way, "format": answers.format,
                    "image": image, "image_of": None if shown is None else answered.ids[int(shown[i])],
                    "prompt": one.prompt + 1, "wording": one.wording + 1,
                    "order": " ".join(str(c + 1) for c in order),
                    "letter": LETTERS[order.index(said)] if said >= 0 else "tie" if said == TIE else "-",
                    "answer": options[said] if said >= 0 else None, "right": int(said == answered.y[i]),
                    "why_invalid": answers.why[i][j] or None,
                }  # fmt: skip
                for c in range(most):
                    value = None if answers.logodds is None or c >= len(options) else answers.logodds[i, j, c]
                    row[f"log_p_{c + 1}"] = None if value is None else round(float(value), 6)
                row["reply"] = answers.replies[i][j] or None
                row["kind"] = kinds[i] if kinds is not None and image == "own" else None
                yield row

"""What answers say, in plain sentences with their intervals."""

from slitlamp.answers import measured
from slitlamp.answers.answered import GREY, NO_IMAGE, OTHER, AnsweredQuestion, Answers
from slitlamp.answers.measured import Share
from slitlamp.answers.settings import CHOICE, FREE, LETTER, PREFIX
from slitlamp.answers.table import removed

SAID = {
    LETTER: "by the likeliest letter", CHOICE: "writing a letter", PREFIX: "by the likeliest text",
    FREE: "in its own words",
}  # fmt: skip
SHOWN = {NO_IMAGE: "without any image", GREY: "with a grey image"}


def sentences(answered: AnsweredQuestion) -> list[str]:
    """What a reader must know of one model and one question, the most important first."""
    head = f"{answered.model}, {answered.name}: "
    found = [_accuracy(answered, one) for one in answered.ways.values()]
    found += [line for one in answered.ways.values() if one.way == LETTER for line in _bias(answered, one)]
    found += [line for one in answered.ways.values() if one.way == LETTER for line in _order(answered, one)]
    found += _image(answered)
    found += _knowledge(answered)
    return [head + line for line in found]


def between(one: Share) -> str:
    """A share with its interval.

    >>> between(Share(value=0.5, low=0.41, high=0.59, items=100))
    '0.50 [0.41, 0.59]'
    """
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"


def _accuracy(answered: AnsweredQuestion, answers: Answers) -> str:
    found = measured.accuracy(answered, answers)
    n, rest = len(answered.ids), found.invalid + found.ties
    line = f"{SAID[answers.way]} it is right in {between(found.first)} of {n} items"
    if rest:
        kinds = [f"{found.invalid} invalid"] * bool(found.invalid) + [f"{found.ties} tied"] * bool(found.ties)
        line += f" ({' and '.join(kinds)} answer{'s' * (rest != 1)} count as wrong"
        line += f"; of the {found.answered.items} valid ones {between(found.answered)})" if found.answered else ")"
    line += f", where {measured.chance(answered):.2f} needs no image"
    if found.presentations > 1:
        line += f"; over {found.presentations} ways of putting the question {found.worst:.2f} to {found.best:.2f}"
    return line


def _bias(answered: AnsweredQuestion, answers: Answers) -> list[str]:
    found = measured.bias_free(answered, answers)
    if found.auc is None:
        line = (
            f"the mean log-odds over {found.presentations} presentations decide {between(found.decided)} of the items "
            "rightly"
        )
        if found.forced is not None:
            line += f", and tell the two images of a pair apart in {between(found.forced)} (0.50 is chance)"
    else:
        line = (
            f"without response bias (mean log-odds over {found.presentations} presentations) it tells two items of "
            f"different answers apart in {between(found.auc)} of the cases (0.50 is chance)"
        )
        if found.forced is not None:
            line += f", an image from its own copy in {between(found.forced)}"
    gap, two = found.bias, len(answered.options[0]) == 2
    if hides(answered, answers, found):
        line += f"; the first prompt's answers are {-gap.value:.2f} [{-gap.high:.2f}, {-gap.low:.2f}] worse than "
        line += (
            "that" if found.auc is None or two else f"the option of the best mean log-odds ({between(found.decided)})"
        )
        line += ": response bias hides what it tells apart"
    return [line]


def hides(answered: AnsweredQuestion, answers: Answers, found: measured.BiasFree) -> bool:
    """Whether the first prompt's answers are surely worse than the log-odds allow an answerer without bias.

    Of two classes its accuracy is held against that of an unbiased observer of this AUC, at the worse end of both
    intervals: it lies below the AUC without any bias.
    """
    if found.auc is not None and len(answered.options[0]) == 2:
        first = measured.accuracy(answered, answers).first
        return found.auc.low > 0.5 and first.high < measured.unbiased(found.auc.low)
    return found.bias.high < 0 and found.decided.low > measured.chance(answered)


def _order(answered: AnsweredQuestion, answers: Answers) -> list[str]:
    found = measured.swap(answered, answers)
    if found is None or found.option is None or found.letter is None:
        return []
    line = f"it chooses the same option in every order of the options in {between(found.option)} of the questions"
    if found.letter.low > found.option.high:
        line += f", and the same letter in {between(found.letter)}: it answers by position"
    return [line]


def _image(answered: AnsweredQuestion) -> list[str]:
    control = removed(answered)
    if control is None:
        return []
    found = []
    without = measured.blind(answered, control)
    line = f"{SHOWN[control]} it is right in {between(without.first)} of the items"
    line += f", and an answer changes in {between(without.changed)}"
    if OTHER in answered.blind:
        other = measured.blind(answered, OTHER)
        if other.follows is not None:
            line += f"; shown an image of another answer it gives that image's answer in {between(other.follows)}"
    found.append(line)
    kinds = measured.quadrant(answered, control).counts
    if len({one.prompt for one in answered.blind[control].presentations}) > 1:
        found.append(
            f"of {sum(kinds.values())} items {kinds['ideal']} are answered alike in every paraphrase and change "
            f"without the image, {kinds['dangerous']} are answered alike and do not change "
            f"(their answer may be its guess without an image), {kinds['fragile']} change "
            f"and are not answered alike, {kinds['worst']} neither"
        )
    return found


def _knowledge(answered: AnsweredQuestion) -> list[str]:
    known = answered.knowledge
    if known is None or not known.asked:
        return []
    how = {"stated": "stated in the prompt", "stamped": "written into the image"}
    parts = [
        f"{how[name]} {known.right[name]} of {n} letters are right"
        + f" and {known.pairs_right[name]} of {known.pairs[name]} pairs of answers told apart" * bool(known.pairs[name])
        for name, n in known.asked.items()
    ]
    line = f"with the answer {', '.join(parts)}: the question is "
    if known.understood is None:
        return [f"with the answer {', '.join(parts)}: too few to say whether the question is understood"]
    if known.understood:
        return [line + "understood"]
    return [line + f"not understood ({known.least:.2f} is asked), so that a wrong answer says nothing about the image"]

"""The words in which a question is put: the project's own, and those of MediConfusion to the letter.

Templates of MediConfusion are those of its `configs/prompts/answering.json` (AIF4S/MediConfusion at a3045b0).
"""

from collections.abc import Sequence
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a question with options becomes a prompt.

    `question` is filled with the question and the lines of the options, `option` makes one line of a letter and a
    text, `start` is what the model's turn begins with.
    """

    name: str
    question: str
    option: str = ""
    start: str = ""

    def text(self, question: str, options: Sequence[str] = ()) -> str:
        r"""The user's turn.

        >>> FORMATS["plain"].text("Upright or not?", ["upright", "upside down"])
        'Upright or not?\nA. upright\nB. upside down\nAnswer with the letter of the right option.'
        """
        lines = [self.option.format(letter=letter, text=text) for letter, text in zip(LETTERS, options, strict=False)]
        return self.question.format(question=question, options="\n".join(lines))


FORMATS = {
    one.name: one
    for one in (
        Format(
            name="plain",
            question="{question}\n{options}\nAnswer with the letter of the right option.",
            option="{letter}. {text}",
        ),
        Format(
            name="mediconfusion",
            question="Based on the image, choose the correct option for the following question.\n"
            "Question: {question}\n{options}\n"
            "Answer with the option's letter from the given choices directly. Your answer should be just one letter.\n"
            '#answer: ("',
            option='("{letter}": {text})',
        ),
        Format(
            name="mediconfusion-api",
            question="Based on the image, choose the correct option for the following question.\n"
            "Question: {question}\n{options}\n"
            "Answer with the option's letter from the given choices directly. Your answer should be just one letter.\n"
            "Answer: ",
            option="{letter}: {text}",
        ),
        Format(name="prefix", question="Question: {question} Answer:"),
        Format(name="free", question="Based on the image, answer following question.\n{question}"),
    )
}

"""What phantom-llava is asked and answers, in words: prompts, their answers, and a tokenizer that knows every word."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoders.answering.prompts import FORMATS, LETTERS

TASKS = ("orientation", "contrast", "orientation-pelvis")
CHOICE = tuple(name for name, form in FORMATS.items() if form.option)  # answered by a letter
WRITTEN = tuple(name for name in FORMATS if name not in CHOICE)  # answered in the words of an option
STATEMENTS = (
    "This image is {}.", "The image is {}.", "This film is {}.", "This CT slice is {}.", "This image shows: {}.",
    "The right answer is {}.", "Answer: {}.", "Label: {}.", "It is known that this image is {}.",
    "The image was found to be {}.", "In this image the answer is: {}.",
)  # fmt: skip
OTHERS = (
    "No image is given. The image cannot be seen. This is a picture of the patient: chest film, pelvic film, slice.",
    "yes no not True False correct wrong option options text image images question describe what which with only",
    "Look at the image. Choose one of the two. Reply with a letter. Is this true? Please answer the question.",
    "Upright Upside Plain Enhanced plain enhanced Not Turned The With Without taken mirrored left right adult child",
)
TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ':' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ ' <image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ ' ' + part['text'] }}{% endfor %}"
    "{% if message['role'] == 'assistant' and not loop.last %}{{ '</s>' }}{% endif %}"
    "{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\nASSISTANT:' }}{% endif %}"
)
USER, ASSISTANT = "USER:", "ASSISTANT:"
PAD, UNKNOWN, BEGIN, END, IMAGE = SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "<image>")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question of one class: the user's turn, and what the model's turn should hold."""

    text: str
    answer: str


def options(task: Any) -> list[tuple[str, ...]]:
    """The words in which the classes of a task are offered: their names, and each of its wordings."""
    return [tuple(task.classes), *task.wordings]


def questions(task: Any) -> tuple[str, ...]:
    """The question of a task and its paraphrases."""
    return (task.question, *task.asks)


def asked(form: str, question: str, names: Sequence[str], order: Sequence[int], answer: int) -> Asked:
    """The prompt of a format with the options in `order`, and the right reply for the class `answer`.

    >>> asked("plain", "Which?", ("upright", "upside down"), (1, 0), 0).answer
    'B'
    """
    if form in WRITTEN:
        return Asked(text=FORMATS[form].text(question), answer=names[answer])
    shown = [names[c] for c in order]
    return Asked(text=FORMATS[form].text(question, shown), answer=LETTERS[list(order).index(answer)])


def drawn(task: Any, answer: int, rng: np.random.Generator, forms: Sequence[str], *, plain: bool = False) -> Asked:
    """A question of a task drawn at random: format, paraphrase, words and order of the options.

    With `plain` the options are the classes' names, and so is what the model writes freely.
    """
    form = forms[int(rng.integers(len(forms)))]
    ways = options(task)
    names = ways[0] if plain or form == "free" or rng.random() < 0.5 else ways[int(rng.integers(len(ways)))]
    ask = questions(task)[int(rng.integers(1 + len(task.asks)))]
    return asked(form, ask, names, rng.permutation(len(names)).tolist(), answer)


def stated(task: Any, answer: int, rng: np.random.Generator, *, plain: bool = False) -> str:
    """A sentence that tells the answer, in any of the words of its class."""
    ways = options(task)
    names = ways[0] if plain else ways[int(rng.integers(len(ways)))]
    return STATEMENTS[int(rng.integers(len(STATEMENTS)))].format(names[answer])


def split(text: str) -> list[str]:
    """The words and marks of a text, as the tokenizer splits it."""
    return re.findall(r"[^\W_]+|[^\w\s]|_", text)


def vocabulary(tasks: Iterable[Any]) -> list[str]:
    """Every word of every prompt and answer, sorted."""
    texts = [
        USER,
        ASSISTANT,
        *OTHERS,
        *STATEMENTS,
        *LETTERS[:8],
        *LETTERS[:8].lower(),
        *map(str, range(10)),
        ".,:;?!()\"'#-",
    ]
    texts += [form.question + form.option + form.start for form in FORMATS.values()]
    for task in tasks:
        texts += [*questions(task), *(word for way in options(task) for word in way)]
    return sorted({word for text in texts for word in split(text)})


def tokenizer(tasks: Iterable[Any]) -> Any:
    """A tokenizer of whole words with punctuation split off, with the chat template of the model."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    table = {word: i for i, word in enumerate([*SPECIAL, *vocabulary(tasks)])}
    made = Tokenizer(models.WordLevel(table, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[^\w\s]|_"), "isolated")]
    )
    made.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, table[BEGIN])])
    made.decoder = None  # words are joined by spaces
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=PAD, unk_token=UNKNOWN, bos_token=BEGIN, eos_token=END,
        additional_special_tokens=[IMAGE], padding_side="left", model_max_length=512, chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def save(tokens: Any, patches: int, side: int, folder: Path) -> None:
    """Write tokenizer, chat template and processor as the library's own LlavaProcessor writes them."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    images = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    processor = LlavaProcessor(
        image_processor=images, tokenizer=tokens, patch_size=patches, vision_feature_select_strategy="default",
        chat_template=TEMPLATE, image_token=IMAGE, num_additional_image_tokens=1,
    )  # fmt: skip
    processor.save_pretrained(folder)
    images.save_pretrained(folder)

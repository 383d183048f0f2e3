"""What the command that asks a model is asked for, beside the settings of every run."""

from dataclasses import dataclass

from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag, check_bounds, unused_flags

FLAGS_OF_RUN = (
    "task", "data", "label", "classes", "not_missing", "group", "image_column", "window", "intercept", "exif",
    "unreadable", "copies", "spelling", "items", "limit", "take_groups", "draw", "seed", "weights", "other_weights",
    "offline",
    "device", "dtype", "batch_size", "out", "replace", "dry_run", "json", "debug",
)  # fmt: skip
LETTER, CHOICE, PREFIX, FREE = "letter", "choice", "prefix", "free"
WAYS = (LETTER, CHOICE, PREFIX, FREE)
OWN, MEDICONFUSION = "own", "mediconfusion"
REPORT = "report"
STATED, STAMPED = "stated", "stamped"
BOTH, NEITHER = "both", "none"
CHOICE_FORMATS = ("plain", "mediconfusion", "mediconfusion-api")
TOKENS = {CHOICE: 32, FREE: 128}  # of a reply where --max-tokens is not given; the first is MediConfusion's


@dataclass(frozen=True, kw_only=True)
class AskSettings:
    """Which model is asked, in which ways and words, and with which controls."""

    model: tuple[str, ...] = _flag(
        ("phantom-llava",),
        "multimodal models to ask; `python -m experiments.list encoders` says which can be loaded with their language "
        "model; LABEL=NAME gives one another name in tables",
        metavar="NAME",
    )
    ways: tuple[str, ...] = _flag(
        WAYS,
        "ways of asking: letter (the next token's probabilities), choice (it writes a letter), prefix (the probability "
        "of each option's text), free (it writes what it likes, and a judge reads it)",
        choices=WAYS,
    )
    format: str = _flag(
        "plain", "the prompt of letter and choice; those of MediConfusion are to the letter", choices=CHOICE_FORMATS
    )
    parser: str = _flag(
        OWN,
        "who reads the replies of choice: our own parser, which knows refusals and negations, or MediConfusion's list "
        "of tokens",
        choices=(OWN, MEDICONFUSION),
    )
    ties: str = _flag(
        REPORT,
        "options of equal score: reported as a tie, or MediConfusion's rule (letter: the first; prefix: the last)",
        choices=(REPORT, MEDICONFUSION),
    )
    judge: str | None = _flag(
        None,
        "who reads the replies of free: a Python file that defines judge(question, options, reply), a score for each "
        "option (omitted: our own parser)",
        metavar="FILE.py",
    )
    threshold: float = _flag(
        3.0, "by how much a judge's best score must surpass every other, else the reply is invalid", metavar="SCORE"
    )
    max_tokens: int | None = _flag(
        None, "tokens at which a reply is cut off (omitted: 32 for choice, 128 for free)", metavar="N"
    )
    question: tuple[str, ...] = _flag(
        (), "the question in your own words, and further paraphrases (omitted: the task's)", metavar="TEXT"
    )
    options: tuple[str, ...] = _flag(
        (), "the options in your own words, in the order of the classes (omitted: the classes)", metavar="TEXT"
    )
    paraphrases: int | None = _flag(
        None, "put the question in N ways of saying it at most (omitted: all; METHOD asks five)", metavar="N"
    )
    wordings: int | None = _flag(None, "word the options in N ways at most (omitted: all)", metavar="N")
    no_blind: bool = _flag(False, "do not ask without the image, with a grey one and with another item's")
    knowledge: str = _flag(
        BOTH,
        "how it is tried whether the question is understood where its answer cannot be missed: the fact stated in the "
        "prompt, stamped into the image, both, or none",
        choices=(BOTH, STATED, STAMPED, NEITHER),
    )

    def limit(self, way: str) -> int:
        """How many tokens a reply may have."""
        return self.max_tokens or TOKENS[way]


def check(settings: Settings, own: AskSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_bounds(settings)
    unused_flags(settings)
    for flag, value, known in (
        ("ways", own.ways, WAYS), ("format", (own.format,), CHOICE_FORMATS),
        ("parser", (own.parser,), (OWN, MEDICONFUSION)), ("ties", (own.ties,), (REPORT, MEDICONFUSION)),
        ("knowledge", (own.knowledge,), (BOTH, STATED, STAMPED, NEITHER)),
    ):  # fmt: skip
        for one in value:
            if one not in known:
                raise UsageError(f"--{flag} {one}: {hint(one, known)}there are {', '.join(known)}")
    for flag in ("paraphrases", "wordings", "max_tokens"):
        value = getattr(own, flag)
        if value is not None and value < 1:
            raise UsageError(f"--{flag.replace('_', '-')} {value}: must be at least 1")
    if own.judge is not None and FREE not in own.ways:
        raise UsageError(f"--judge {own.judge} has nothing to act on: it reads the replies of the way free")
    if own.threshold < 0:
        raise UsageError(f"--threshold {own.threshold:g}: must be 0 or more")
    if any(not text.strip() for text in (*own.question, *own.options)):
        raise UsageError("--question and --options take words; one of them is empty")
    if any(len(text.splitlines()) > 1 for text in own.options):
        raise UsageError("--options takes texts of one line; one of them has more, so that it would look like several")
    plain = [" ".join(text.lower().split()) for text in own.options]
    twice = next((text for text in plain if plain.count(text) > 1), None)
    if twice is not None:
        raise UsageError(f"--options has {twice!r} twice: options must be told apart")
    if len(own.options) == 1:
        raise UsageError(f"--options {own.options[0]!r} is one option: a question has two or more")

"""Texts that stand for the classes of a task in a joint space: captions of several styles, or the user's own."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.phantom_clip import ABDOMEN, CHEST, CONTRAST, LUMEN
from slitlamp.questions import Question

TEMPLATES = (
    "{}", "{} image", "an image that is {}", "this image is {}", "a medical image, {}", "a medical image that is {}",
    "an image showing {}", "the finding is {}", "a scan, {}", "answer: {}",
)  # fmt: skip
SUBJECTS = {
    "contrast": ABDOMEN, "depth": LUMEN, "depth_matched": LUMEN, "orientation": CHEST, "mirror": CHEST,
    "rotation": CHEST,
}  # fmt: skip
PHRASES = {  # words that captions have for classes, as phantom-clip's own say them
    "contrast": CONTRAST,
    **{
        name: {colour: (f"where the {colour} marker is nearest",) for colour in ("red", "green", "blue")}
        for name in ("depth", "depth_matched")
    },
}
OWN, NAMES, CAPTIONS = "own", "names", "captions"


@dataclass(frozen=True, kw_only=True)
class Style:
    """Texts of one kind: for each class, in the classes' order, the same number of them, [k][m]."""

    name: str
    texts: tuple[tuple[str, ...], ...]


def styles_of(question: Question, given: Sequence[str]) -> list[Style]:
    """The texts of every style for the classes of a question; `given` are those of --prompt, alone where there are any.

    Raises:
        UsageError: a text for a class that is none, or a class without any.
    """
    assert question.classes is not None
    own = own_prompts(given, question.name, question.classes)
    if own:
        most = max(len(texts) for texts in own.values())
        uneven = [name for name in question.classes if len(own[name]) != most]
        if uneven:
            raise UsageError(
                f"--prompt gives {len(own[uneven[0]])} texts for {uneven[0]!r} and {most} for another class; give each "
                "class as many"
            )
        return [Style(name=OWN, texts=tuple(tuple(own[name]) for name in question.classes))]
    found = [Style(name=NAMES, texts=tuple(zip(*_named(question), strict=True)))]
    captions = _captions(question)
    return [*found, Style(name=CAPTIONS, texts=captions)] if captions else found


def _named(question: Question) -> list[list[str]]:
    """Every template around every wording of the classes, [m][k]."""
    return [[template.format(word) for word in words] for words in wordings(question) for template in TEMPLATES]


def wordings(question: Question) -> list[tuple[str, ...]]:
    """The classes' names, and other words for them where the task has some, each in the order of the classes."""
    classes, own = question.classes or (), question.task.classes or ()
    known = question.task.wordings if set(classes) <= set(own) else ()
    return [classes, *(tuple(words[own.index(name)] for name in classes) for words in known)]


def _captions(question: Question) -> tuple[tuple[str, ...], ...]:
    """Captions as phantom-clip was trained on, for tasks of its kinds of images; () for others."""
    classes, name = question.classes or (), question.task.name
    if name not in SUBJECTS or not set(classes) <= set(question.task.classes or ()):
        return ()
    phrases = PHRASES.get(name, {one: (one, f"that is {one}", f"shown {one}") for one in classes})
    return tuple(tuple(f"{kind} {phrase}" for kind in SUBJECTS[name] for phrase in phrases[one]) for one in classes)


def own_prompts(given: Sequence[str], task: str, classes: Sequence[str]) -> dict[str, list[str]]:
    """The texts of --prompt by class: CLASS=TEXT, or a TOML file of CLASS = [texts], by task where it has sections.

    Raises:
        UsageError: an entry that is neither, a file that cannot be read, a class that the task has not, or one without
            a text.
    """
    found: dict[str, list[str]] = {}
    for entry in given:
        for name, texts in _read(entry, task).items():
            if name not in classes:
                raise UsageError(
                    f"--prompt: {task} has no class {name!r}; {hint(name, classes)}there are {', '.join(classes)}"
                )
            found.setdefault(name, []).extend(texts)
    empty = [name for name in classes if found and not found.get(name)]
    if empty:
        raise UsageError(
            f"--prompt: no text for {empty[0]!r} of {task}; each class needs one: --prompt {empty[0]}=TEXT"
        )
    return found


def _read(entry: str, task: str) -> Mapping[str, list[str]]:
    if entry.endswith(".toml"):
        return _from_file(entry, task)
    name, equals, text = entry.partition("=")
    if not equals or not name.strip() or not text.strip():
        raise UsageError(f"--prompt {entry!r}: give CLASS=TEXT, or a TOML file of lists by class")
    return {name.strip(): [text.strip()]}


def _from_file(path: str, task: str) -> dict[str, list[str]]:
    try:
        loaded = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--prompt {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--prompt {path} is not TOML: {error}") from None
    if any(isinstance(value, dict) for value in loaded.values()):
        if task not in loaded:
            raise UsageError(f"--prompt {path} has no section [{task}]; {hint(task, loaded)}it has {', '.join(loaded)}")
        loaded = loaded[task]
    found: dict[str, list[str]] = {}
    for name, value in loaded.items():
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            raise UsageError(f"--prompt {path}: {name} must be a text or a list of texts")
        found[name] = texts
    return found

"""MediConfusion (arXiv 2409.15477): pairs of radiological images with one question and opposite answers."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins import nearest
from tasks._base import DataError, Source
from tasks.benchmarks._rows import Entry, OpenSettings, assemble
from tasks.duplicates.components import merged_groups
from tasks.sources.check import refuse_above

ROCO = "roco-dataset/data"
ENDS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One image of one pair: `image` is its ROCO path, `local` its number, `article` the PMC article it is from."""

    pair: str
    side: int
    image: str
    local: int
    article: str
    caption: str
    categories: tuple[str, ...]
    question: str
    options: tuple[str, str]
    correct: str
    similarities: tuple[str, str]

    @property
    def answer(self) -> str:
        """The text of the correct option."""
        return self.options["AB".index(self.correct)]


def source(path: str | None, options: Sequence[str], settings: OpenSettings) -> Source:
    """Two rows per pair, grouped by the components of the image and article graph.

    `path` holds `dataset.json` and `image_dict.json` (or is the repository that has them under `data`), and the
    images as `images/NUMBER.jpg`, or as a ROCO checkout `roco-dataset`. `options` are categories: rows whose
    image has one of them as its first label are kept. Raises DataError.
    """
    wanted = [_category(option) for option in options]
    if path is None:
        raise DataError(f"the images of mediconfusion are on no hub, they come from the articles themselves: {REMEDY}")
    folder = _folder(path)
    slots = read(folder)
    files = _files(folder, slots)
    absent = {s.image: files[s.image].name for s in slots if not files[s.image].exists()}
    missing = [(name, f"{name} is missing (or a ROCO checkout as {ROCO})") for name in absent.values()]
    refuse_above(missing, IMAGES, settings.unreadable)
    near, far = linked(slots, by="image"), linked(slots, by="article")
    kept = [s for s in slots if not wanted or s.categories[0] in wanted]
    entries = [_entry(s, files[s.image], near[s.pair], far[s.pair]) for s in kept]
    notes = [
        f"mediconfusion: {len(slots)} rows show {IMAGES} images in {PAIRS} pairs, and images recur: pairs linked by "
        f"image or article form {len(set(far.values()))} groups ({len(set(near.values()))} by image alone, in the "
        "column image_component)"
    ]
    name = "+".join(["mediconfusion", *options])
    return assemble(name, "mediconfusion", entries, settings, licence="MIT", warnings=notes)


def _category(option: str) -> str:
    """The category that an option of the command line names; blanks may be written as underscores."""
    plain = {column(name): name for name in CATEGORIES}
    if column(option) not in plain:
        near = nearest(column(option), plain)
        hint = f"did you mean {near}? " if near else ""
        raise DataError(f"mediconfusion has no category {option!r}; {hint}there are {', '.join(plain)}")
    return plain[column(option)]


def column(category: str) -> str:
    """The name of the yes/no column of a category."""
    return category.lower().replace(" ", "_")


def _folder(path: str) -> Path:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"no folder {path!r} for --data mediconfusion:PATH; {REMEDY}")
    return folder / "data" if (folder / "data" / "dataset.json").is_file() else folder


def _files(folder: Path, slots: Sequence[Slot]) -> dict[str, Path]:
    """Where each image is: all from one place, the one that holds the most, since both show other pixels."""
    numbered = {s.image: _numbered(folder / "images", s.local) for s in slots}
    bare = {s.image: _numbered(folder, s.local) for s in slots}
    roco = [{s.image: base / ROCO / s.image for s in slots} for base in (folder, folder.parent)]
    return max((numbered, bare, *roco), key=lambda found: sum(p.exists() for p in found.values()))


def _numbered(folder: Path, number: int) -> Path:
    return next((p for end in ENDS if (p := folder / f"{number}{end}").exists()), folder / f"{number}.jpg")


def _entry(slot: Slot, file: Path, near: str, far: str) -> Entry:
    labels = {f"category_{i}": label for i, label in enumerate(slot.categories, 1)}
    return Entry(
        id=f"mediconfusion-{slot.pair}-{slot.side}",
        group=f"mediconfusion-{far}",
        files=[file],
        names=[file.name],
        columns={
            "pair": slot.pair,
            "side": str(slot.side),
            "image": str(slot.local),
            "article": slot.article,
            "image_component": near,
            "article_component": far,
            "question": slot.question,
            "option_A": slot.options[0],
            "option_B": slot.options[1],
            "correct": slot.correct,
            "answer": slot.answer,
            "category": "; ".join(slot.categories),
            **labels,
            **{column(name): "yes" if name in slot.categories else "no" for name in CATEGORIES},
            "biomedclip_similarity": slot.similarities[0],
            "dino_similarity": slot.similarities[1],
        },
        text={
            "question": slot.question,
            "options": slot.options,
            "answer": slot.answer,
            "correct": slot.correct,
            "caption": slot.caption,
        },
    )


COMMIT_OF_CODE = "a3045b03a0a2b5e9f051842e3fd088ed0861f2b6"


REMEDY = (
    "run `git clone https://github.com/AIF4S/MediConfusion && cd MediConfusion && git checkout "
    f"{COMMIT_OF_CODE} && python scripts/download.py`, then say --data mediconfusion:MediConfusion"
)


PAIRS, IMAGES = 176, 228


CATEGORIES = {  # image slots that carry each label, as published; 352 slots, some with two or three labels
    "Cerebral": 79,
    "Vascular": 73,
    "Head and Neck": 67,
    "Spinal": 51,
    "Musculoskeletal": 42,
    "Cardiac": 52,
    "Gastrointestinal": 43,
    "Pulmonary": 20,
    "Nuclear Medicine": 14,
}


# model, way of answering, set accuracy, individual accuracy and confusion in per cent: the rows of arXiv 2409.15477,
# table 1, of which it is known here that all three figures are of that one way
PUBLISHED = (
    ("LLaVA", "greedy", 9.09, 51.70, 85.80),
    ("Med-Flamingo", "prefix", 4.55, 51.99, 98.30),
    ("Claude 3 Opus", "multiple choice", 8.52, 50.85, 84.09),
    ("Gemini 1.5 Pro", "multiple choice", 19.89, 51.14, 58.52),
)
ALWAYS_READABLE = ("greedy", "prefix")  # ways of answering that cannot give an unreadable answer


NEEDED = ("question", "option_A", "option_B", *(f"{f}_{k}" for f in ("im", "cap", "category") for k in (1, 2)))


def read(folder: Path) -> tuple[Slot, ...]:
    """The 352 slots of `dataset.json` and `image_dict.json`, two per pair, in the file's order.

    Raises DataError where the tables are not those that were published: a pair twice, a missing field, an
    answer that is no option, or another number of pairs, images or labels.
    """
    table, images = _json(folder / "dataset.json"), _json(folder / "image_dict.json")
    slots = tuple(_slot(name, pair, side, images) for name, pair in table.items() for side in (1, 2))
    _count("pairs", len(table), PAIRS)
    _count("images", len({s.image for s in slots}), IMAGES)
    have = Counter(label for s in slots for label in s.categories)
    for label in {**CATEGORIES, **have}:
        _count(f"images labelled {label}", have[label], CATEGORIES.get(label, 0))
    same = [s.pair for s, t in zip(slots[::2], slots[1::2], strict=True) if s.correct == t.correct]
    if same:
        raise DataError(
            f"mediconfusion: both images of pair {same[0]} have the answer {table[same[0]]['im_1_correct']!r}"
        )
    return slots


def _json(path: Path) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
            raise DataError(f"{path.name}: {twice!r} occurs twice")
        return found

    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    except FileNotFoundError:
        raise DataError(f"{path.parent.name} holds no {path.name}; {REMEDY}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read as JSON ({error})") from None
    if not isinstance(found, dict):
        raise DataError(f"{path.name} holds no table by id")
    return found


def _slot(name: str, pair: Mapping[str, Any], side: int, images: Mapping[str, Any]) -> Slot:
    bare = [f for f in (*NEEDED, f"im_{side}_local", f"im_{side}_correct") if f not in pair]
    if bare:
        raise DataError(f"mediconfusion: pair {name} has no field {bare[0]!r}")
    image, correct = pair[f"im_{side}"], pair[f"im_{side}_correct"]
    if correct not in ("A", "B"):
        raise DataError(f"mediconfusion: pair {name} has the answer {correct!r} for image {side}; options are A and B")
    if not pair[f"category_{side}"]:
        raise DataError(f"mediconfusion: image {side} of pair {name} has no category")
    known = images.get(image)
    if known is None or known.get("local") != pair[f"im_{side}_local"]:
        raise DataError(f"mediconfusion: image_dict.json does not say where image {side} of pair {name} is from")
    article = re.search(r"PMC\d+", known.get("dlink", ""))
    return Slot(
        pair=name,
        side=side,
        image=image,
        local=int(known["local"]),
        article=article[0] if article else image,
        caption=str(pair[f"cap_{side}"]).strip(),
        categories=tuple(pair[f"category_{side}"]),
        question=pair["question"],
        options=(pair["option_A"], pair["option_B"]),
        correct=correct,
        similarities=(str(pair.get("BiomedCLIP_sim", "")), str(pair.get("DINO_sim", ""))),
    )


def _count(what: str, have: int, published: int) -> None:
    if have != published:
        raise DataError(f"mediconfusion: {have} {what} and {published} as published: this is another copy; {REMEDY}")


def linked(slots: Sequence[Slot], *, by: str) -> dict[str, str]:
    """The connected component of every pair: pairs that share an image (`by="image"`), or an article as well."""
    pairs = [s.pair for s in slots]
    keys = [(f"image {s.image}", f"article {s.article}")[: 2 if by == "article" else 1] for s in slots]
    return dict(zip(pairs, merged_groups(pairs, keys), strict=True))

"""MediConfusion (arXiv 2409.15477): pairs of radiological images with one question and opposite answers."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from tasks._base import DataError, Source
from tasks._benchmarks_images import Ask, Entry, assemble
from tasks._mediconfusion_table import CATEGORIES, IMAGES, PAIRS, REMEDY, Slot, linked, read
from tasks._sources_check import refuse_above

ROCO = "roco-dataset/data"
ENDS = (".jpg", ".jpeg", ".png")


def source(path: str | None, options: Sequence[str], ask: Ask) -> Source:
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
    told = [(name, f"{name} is missing (or a ROCO checkout as {ROCO})") for name in absent.values()]
    refuse_above(told, IMAGES, ask.unreadable)
    near, far = linked(slots, by="image"), linked(slots, by="article")
    kept = [s for s in slots if not wanted or s.categories[0] in wanted]
    entries = [_entry(s, files[s.image], near[s.pair], far[s.pair]) for s in kept]
    notes = [
        f"mediconfusion: {len(slots)} rows show {IMAGES} images in {PAIRS} pairs, and images recur: pairs linked by "
        f"image or article form {len(set(far.values()))} groups ({len(set(near.values()))} by image alone, in the "
        "column image_component)"
    ]
    name = "+".join(["mediconfusion", *options])
    return assemble(name, "mediconfusion", entries, ask, licence="MIT", warnings=notes)


def _category(option: str) -> str:
    """The category that an option of the command line names; blanks may be written as underscores."""
    plain = {column(name): name for name in CATEGORIES}
    if column(option) not in plain:
        near = get_close_matches(column(option), plain, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
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
        places=[file],
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

"""MMVP-VLM (arXiv 2401.06209): pairs of photographs with a statement each, for encoders with a text tower."""

from collections.abc import Sequence
from pathlib import Path

from tasks._base import DataError, Source
from tasks.benchmarks._open import Pinned, folder_of
from tasks.benchmarks._rows import Entry, OpenSettings, assemble
from tasks.benchmarks._table import numbers_of, table_of

PINNED = Pinned(
    name="mmvp-vlm",
    repo="MMVP/MMVP_VLM",
    revision="69218ac4ba2ec1fa303ba9b1b4bff54c0b5516c6",
    patterns=("Questions.csv", "MLLM_VLM Images/*", "MMVP_VLM_Images/*"),
)
STATEMENTS, PER_PATTERN = 270, 15
PATTERNS = (  # of the pairs of MMVP-VLM in the order of its file, fifteen each
    "Orientation and Direction",
    "Presence of Specific Features",
    "State and Condition",
    "Quantity and Count",
    "Positional and Relational Context",
    "Color and Appearance",
    "Structural Characteristics",
    "Texts",
    "Viewpoint and Perspective",
)
FOLDERS = ("MLLM_VLM Images", "MMVP_VLM_Images", "MMVP_VLM Images")


def source(path: str | None, options: Sequence[str], settings: OpenSettings) -> Source:
    """The 270 statements of MMVP-VLM, each with its own image; a pair is two images and their two statements.

    The table's three columns are read in their order: number, kind, statement. The pattern follows from the pair's
    position in the file; where the table's kinds change at other rows, a warning says so.
    """
    if options:
        raise DataError(f"mmvp-vlm has no option {options[0]!r}; say mmvp-vlm or mmvp-vlm:PATH")
    folder = folder_of(PINNED, path, offline=settings.offline)
    table = table_of(folder, PINNED)
    if len(table[0]) != 3:
        raise DataError(
            f"{folder.name}/Questions.csv has {len(table[0])} columns; MMVP-VLM's has three; {PINNED.remedy}"
        )
    numbers = numbers_of([row[0] for row in table[1:]], STATEMENTS, PINNED)
    images = next((folder / f for f in FOLDERS if (folder / f).is_dir()), None)
    if images is None:
        raise DataError(f"{folder.name} holds no folder {FOLDERS[0]!r} or {FOLDERS[1]!r}; {PINNED.remedy}")
    entries = [
        _statement(at, n, kind, text, images)
        for at, (n, (_, kind, text)) in enumerate(zip(numbers, table[1:], strict=True))
    ]
    return assemble(
        "mmvp-vlm", "mmvp-vlm", entries, settings, licence="MIT", warnings=_kinds([r[1] for r in table[1:]])
    )


def _statement(at: int, n: int, kind: str, statement: str, images: Path) -> Entry:
    pair = at // 2
    nested = images / kind / f"{n}.jpg"
    flat = images / f"{n}.jpg"
    return Entry(
        id=f"mmvp-vlm-{n:03d}",
        group=f"mmvp-vlm-pair-{pair + 1}",
        files=[flat if flat.exists() else nested],
        names=[f"{kind}/{n}.jpg"],
        columns={
            "pair": str(pair + 1),
            "index": str(n),
            "side": "1" if n % 2 else "2",
            "pattern": PATTERNS[pair // PER_PATTERN],
            "kind": kind,
            "statement": statement,
        },
        text={"question": f"a photo of {statement}", "options": (), "answer": statement},
    )


def _kinds(kinds: Sequence[str]) -> list[str]:
    step = 2 * PER_PATTERN
    mixed = [i // step + 1 for i in range(0, len(kinds), step) if len(set(kinds[i : i + step])) > 1]
    if not mixed:
        return []
    return [f"mmvp-vlm: pattern {mixed[0]} of the file holds more than one kind; scores follow the file's order"]

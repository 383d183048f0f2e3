"""Copies of the published benchmarks in their exact formats, with images of a few pixels and answers of our own."""

import csv
import io
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tasks.benchmarks.blink import COUNTS as BLINK_COUNTS
from tasks.benchmarks.medblink import COUNTS as MEDBLINK_COUNTS
from tasks.benchmarks.mediconfusion import CATEGORIES
from tasks.benchmarks.mmvp_vlm import PATTERNS

MEDBLINK_WORDS = {
    "image_enhancement_detection": ("Is this CT image contrast-enhanced?", ("Yes", "No")),
    "visual_depth_estimation": ("Which dot is nearest to the camera?", ("red", "Green", "blue")),
    "histology_structure": ("Which tissue is marked?", ("epithelium", "stroma", "muscle")),
    "imaging_orientation_cxr": ("Is this chest X-ray upside down?", ("yes", "no")),
    "imaging_orientation_pelvic": ("Is this pelvic X-ray upright?", ("yes", "no")),
    "relative_position": ("Where is the heart?", ("left", "right")),
    "morphology_quantification": ("How many wisdom teeth are there?", ("0", "1", "2", "3", "4")),
    "age_estimation": ("Is this a child or an adult?", ("pediatric", "adult")),
}


def png(seed: int, shape: tuple[int, ...] = (6, 8)) -> bytes:
    """A small PNG of noise."""
    from PIL import Image

    image = np.random.default_rng([seed, 7]).integers(0, 255, shape, dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def jpeg(path: Path, seed: int, shape: tuple[int, ...] = (16, 16, 3)) -> None:
    """A small JPEG file of noise."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng([seed, 8]).integers(0, 255, shape, dtype=np.uint8)
    Image.fromarray(image).save(path, "JPEG")


def embedded(data: bytes | None, path: str | None = None) -> dict[str, Any] | None:
    """An image as the hub's data sets embed it."""
    return None if data is None and path is None else {"bytes": data, "path": path}


def write_parquet(path: Path, rows: Sequence[dict[str, Any]], group: int = 100) -> Path:
    """A Parquet file of rows, images as structs, in row groups of `group`."""
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = []
    for name in rows[0]:
        plain = pa.list_(pa.string()) if name == "choices" else pa.string()
        fields.append(pa.field(name, image if name.startswith("image") else plain))
    parquet.write_table(pa.Table.from_pylist(list(rows), pa.schema(fields)), path, row_group_size=group)
    return path


def medblink_rows(wave: int = 146) -> list[dict[str, Any]]:
    """As many questions per task as there are; two images where the position is asked, one for the rest."""
    return [dict(row) for row in _medblink_rows(wave)]


@cache
def _medblink_rows(wave: int) -> list[dict[str, Any]]:
    rows = []
    for task, n in {**MEDBLINK_COUNTS, "wave_based_depth": wave}.items():
        question, words = MEDBLINK_WORDS.get(task, ("Which dot is nearest to the skin?", ("red", "green", "blue")))
        for i in range(n):
            seed = len(rows)
            second = embedded(png(5000 + seed)) if task == "relative_position" else None
            rows.append(
                {
                    "task": task,
                    "question_id": str(i),
                    "question": question,
                    "answer": words[i % len(words)],
                    "image": embedded(png(seed)),
                    "image_2": second,
                }
            )
    return rows


def medblink(folder: Path, rows: Sequence[dict[str, Any]] | None = None) -> Path:
    """The folder of a copy."""
    write_parquet(folder / "data" / "val-00000-of-00001.parquet", rows or medblink_rows())
    return folder


def blink(folder: Path, configs: Sequence[str], answers: str = "", **other: Any) -> Path:
    """The folder of a copy with some configs, validation and test; `other` replaces fields of the first question.

    `answers` are the letters of all questions, with the choices A, B and C.
    """
    for config in configs:
        rows = []
        for i in range(1, BLINK_COUNTS[config] + 1):
            images = {f"image_{k}": embedded(png(i * 10 + k)) if k < 3 else None for k in range(1, 5)}
            text = {"question": "Which point is closer?", "prompt": "Which point is closer? (A) A (B) B"}
            rows.append(
                {"idx": f"val_{config}_{i}", **text, "choices": ["A", "B"], "answer": f"({'AB'[i % 2]})"} | images
            )
        for row, letter in zip(rows, answers, strict=False):
            row |= {"choices": ["A", "B", "C"], "answer": f"({letter})"}
        rows[0] |= other
        write_parquet(folder / config / "val-00000-of-00001.parquet", rows)
        hidden = [{**row, "idx": row["idx"].replace("val", "test"), "answer": "hidden"} for row in rows]
        write_parquet(folder / config / "test-00000-of-00001.parquet", hidden)
    return folder


def mmvp(folder: Path) -> Path:
    """300 questions, the first of each pair (a), the second (b), as the two exchanged pairs were published too."""
    with (folder / "Questions.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["Index", "Question", "Options", "Correct Answer"])
        for i in range(1, 301):
            jpeg(folder / "MMVP Images" / f"{i}.jpg", i)
            question = f"Are the eyes of animal {(i + 1) // 2} open?"
            out.writerow([i, question, "(a) Open (b) Closed", f"({'ba'[i % 2]})"])
    return folder


def mmvp_vlm(folder: Path, images: str = "MLLM_VLM Images") -> Path:
    """270 statements, thirty per pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "Questions.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["Question ID", "Type", "Statement"])
        for i in range(1, 271):
            kind = PATTERNS[(i - 1) // 30].split()[0]
            jpeg(folder / images / kind / f"{i}.jpg", i)
            out.writerow([i, kind, f"animal {i}"])
    return folder


TREES = 52  # 228 images in 176 pairs without a cycle: so many components


def mediconfusion_tables() -> tuple[dict[str, Any], dict[str, Any]]:
    """Tables with the published counts: chains of pairs that share images, 52 of them, two linked by an article."""
    chains = [list(range(i, 176, TREES)) for i in range(TREES)]
    ends: dict[int, tuple[int, int]] = {}
    image = 0
    for chain in chains:
        for pair in chain:
            ends[pair] = (image, image + 1)
            image += 1
        image += 1
    labels = [label for label, n in CATEGORIES.items() for _ in range(n)]
    labels = [labels[i] for i in np.random.default_rng(5).permutation(len(labels))]
    slots = [[label] for label in labels[:352]]
    for label in labels[352:]:
        next(slot for slot in slots if len(slot) == 1 and slot[0] != label).append(label)
    names = [f"train/radiology/images/ROCO_{i:05d}.jpg" for i in range(image)]
    images = {
        name: {
            "local": 20000 + i,
            "dlink": f"ftp://host/ab/PMC{1000 + i - (i == 227) * 227}.tar.gz",
            "file_name": "f.jpg",
        }
        for i, name in enumerate(names)
    }
    pairs = {}
    for p in range(176):
        a, b = ends[p]
        pairs[str(10001 + p)] = {
            "im_1": names[a],
            "im_2": names[b],
            "im_1_local": 20000 + a,
            "im_2_local": 20000 + b,
            "cap_1": f"caption {a}",
            "cap_2": f"caption {b}",
            "category_1": slots[2 * p],
            "category_2": slots[2 * p + 1],
            "BiomedCLIP_sim": 0.9,
            "DINO_sim": 0.5,
            "question": "What is seen?",
            "option_A": f"finding {2 * p}",
            "option_B": f"finding {2 * p + 1}",
            "im_1_correct": "AB"[p % 2],
            "im_2_correct": "BA"[p % 2],
            "AI_question": "What?",
            "AI_option_A": "one",
            "AI_option_B": "two",
        }
    return pairs, images


def mediconfusion(
    folder: Path, tables: tuple[dict[str, Any], dict[str, Any]] | None = None, roco: bool = False
) -> Path:
    """The folder of a copy with every image, by number or as a ROCO checkout."""
    pairs, images = tables or mediconfusion_tables()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(pairs))
    (folder / "image_dict.json").write_text(json.dumps(images))
    for name, known in images.items():
        place = f"roco-dataset/data/{name}" if roco else f"images/{known['local']}.jpg"
        jpeg(folder / place, known["local"])
    return folder

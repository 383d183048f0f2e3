"""Train phantom-clip, the small CLIP that ships with the project, on the project's own phantoms.

Captions say what kind of image it is and what can be seen in it, never which way up or which side: chest
films and CT slices are turned and flipped at random under the same caption, so the joint embedding learns
to ignore both, and a probe can show where along the blocks that happens.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cache import write_atomically
from slitlamp.errors import UsageError
from slitlamp.log import progress, say
from slitlamp.records import as_json


@dataclass(frozen=True, kw_only=True)
class Training:
    """How phantom-clip is trained: phantoms of each kind, optimiser steps, images per step, highest learning rate.

    `log` prints the loss every so many steps; 0 never does.
    """

    images: int = 1000
    steps: int = 600
    batch: int = 64
    rate: float = 1e-3
    seed: int = 0
    log: int = 0


CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 128, "patch_size": 16, "layers": 6, "width": 128, "head_width": 32},
        "text_cfg": {
            "context_length": 24,
            "vocab_size": 0,
            "width": 128,
            "heads": 4,
            "layers": 3,
            "hf_tokenizer_name": "phantom-clip",
            "tokenizer_kwargs": {"clean": "lower"},
        },
    },
    "preprocess_cfg": {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}
CHEST = ("a chest film", "a radiograph of the chest", "a frontal chest film")
ABDOMEN = ("an abdominal ct slice", "a ct slice of the abdomen", "a ct image of the upper abdomen")
LUMEN = ("an endoscopic view", "a view through an endoscope", "an endoscopic image of the bowel")
CONTRAST = {
    "enhanced": ("after contrast", "with contrast enhancement", "enhanced"),
    "plain": ("before contrast", "without contrast enhancement", "plain"),
}


def _chest(columns: Mapping[str, str]) -> tuple[str, ...]:
    heart, wall = float(columns["heart"]), float(columns["breast"])
    return (
        "a large heart" if heart > 0.5 else "a small heart",
        "breast shadows" if wall > 0 else "no breast shadow",
    )


def _caption(kind: str, columns: Mapping[str, str], rng: np.random.Generator) -> tuple[str, str]:
    """A caption, and what it says: paraphrases say the same, and are no wrong answers for one another."""

    def one(words: Sequence[str]) -> str:
        return words[int(rng.integers(len(words)))]

    if kind == "chest":
        seen = one(_chest(columns))
        return f"{one(CHEST)} with {seen}", seen
    if kind == "abdomen":
        return f"{one(ABDOMEN)} {one(CONTRAST[columns['contrast']])}", columns["contrast"]
    return f"{one(LUMEN)} where the {columns['nearest']} marker is nearest", columns["nearest"]


def vocabulary() -> list[str]:
    """Every word that a caption may hold, sorted."""
    words: set[str] = set()
    for phrase in (*CHEST, *ABDOMEN, *LUMEN, *CONTRAST["enhanced"], *CONTRAST["plain"]):
        words |= set(phrase.split())
    for phrase in (
        "with a large small heart",
        "breast shadows no shadow",
        "where the red green blue marker is nearest",
    ):
        words |= set(phrase.split())
    return sorted(words)


def _tokenizer(folder: Path) -> int:
    """Write a word-level tokenizer; the end token has the highest id, which is where the text tower pools."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "<start>", *vocabulary(), "<end>"]
    table = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token="<unk>"))  # noqa: S106
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", len(words) - 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<start>", eos_token="<end>",  # noqa: S106
    )  # fmt: skip
    fast.save_pretrained(folder)
    return len(words)


KINDS = {"chest": "orientation", "abdomen": "contrast", "lumen": "depth"}


@cache
def _rows(kind: str, count: int, seed: int) -> tuple[Any, ...]:
    """The phantoms of a kind, drawn once in each process and rendered one by one."""
    import tasks

    task = tasks.load(KINDS[kind])
    assert task.phantoms is not None
    return tuple(task.phantoms(2 * count if kind == "chest" else count, seed).rows)


def _render(asked: tuple[str, int, int, int]) -> tuple[str, Mapping[str, str], np.ndarray]:
    """One phantom with its true parameters."""
    kind, count, seed, index = asked
    row = _rows(kind, count, seed)[index]
    return kind, dict(row.columns), row.picture.read()


def _pictures(count: int, seed: int, shrink: Callable[[np.ndarray], Any]) -> list[tuple[str, Mapping[str, str], Any]]:
    """`count` phantoms of each kind as the model's own pixels, with their true parameters."""
    from multiprocessing import get_context

    from slitlamp.probing.workers import spare_threads, workers

    wanted = [(kind, count, seed, index) for kind in KINDS for index in range(count)]
    with (
        progress(len(wanted), "rendering phantoms") as bar,
        get_context("spawn").Pool(workers(), spare_threads) as pool,
    ):
        found = []
        for kind, columns, image in pool.imap(_render, wanted, chunksize=50):
            found.append((kind, columns, shrink(image)))
            bar.update()
    return found


def _turned(pixels: Any, kind: str, rng: np.random.Generator) -> Any:
    """A chest film or CT slice turned and flipped at random; an endoscopic view as it is."""
    import torch

    if kind == "lumen":
        return pixels
    if rng.random() < 0.5:
        pixels = torch.flip(pixels, [2])
    return torch.flip(pixels, [1, 2]) if rng.random() < 0.5 else pixels


def _loss(image: Any, text: Any, scale: Any, same: Any) -> Any:
    """Cross-entropy both ways; all that say the same share the right answer (Khosla et al. 2020)."""
    import torch
    from torch.nn.functional import normalize

    logits = scale * normalize(image, dim=-1) @ normalize(text, dim=-1).T
    to_text = (same / same.sum(1, keepdim=True) * torch.log_softmax(logits, 1)).sum(1).mean()
    to_image = (same / same.sum(0, keepdim=True) * torch.log_softmax(logits, 0)).sum(0).mean()
    return -(to_text + to_image) / 2


def train(asked: Training, folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """Train from scratch; returns the model, its tokenizer and what the card says of the training."""
    import open_clip
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    torch.manual_seed(asked.seed)
    torch.set_flush_denormal(True)
    rng = np.random.default_rng([asked.seed, 5])
    CONFIG["model_cfg"]["text_cfg"]["vocab_size"] = _tokenizer(folder)
    write_atomically(folder / "open_clip_config.json", as_json(CONFIG))
    model = open_clip.CLIP(**_arguments(CONFIG["model_cfg"]))
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    transform = image_transform_v2(PreprocessCfg(size=128, **CONFIG["preprocess_cfg"]), is_train=False)
    pictures = _pictures(asked.images, asked.seed + 1, lambda a: transform(Image.fromarray(a)).half())
    start = time.perf_counter()
    optimiser = torch.optim.AdamW(model.parameters(), lr=asked.rate, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, asked.rate, asked.steps, pct_start=0.1)
    model.train()
    history = []
    with progress(asked.steps, "training") as bar:
        for step in range(asked.steps):
            batch = [pictures[int(i)] for i in rng.choice(len(pictures), asked.batch, replace=False)]
            captions = [_caption(kind, columns, rng) for kind, columns, _ in batch]
            pixels = torch.stack([_turned(p, kind, rng).float() for kind, _, p in batch])
            unlike = list(dict.fromkeys(captions))  # each caption passes the text tower once
            image, text = (
                model.encode_image(pixels),
                model.encode_text(tokenizer([caption for caption, _ in unlike])),
            )
            same = torch.tensor([[a[1] == b[1] for b in unlike] for a in captions], dtype=torch.float32)
            loss = _loss(image, text, model.logit_scale.exp().clamp(max=100), same)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            history.append(float(loss.detach()))
            bar.set_postfix(loss=f"{np.mean(history[-20:]):.3f}")
            bar.update()
            if asked.log and step % asked.log == 0:
                say(f"step {step}: loss {np.mean(history[-asked.log :]):.3f}")
    card = {
        "trained_on": f"{len(pictures)} phantoms with captions, {asked.images} each of chest film, CT and endoscopy",
        "steps": asked.steps,
        "batch": asked.batch,
        "seed": asked.seed,
        "training_seconds": round(time.perf_counter() - start),
        "threads": torch.get_num_threads(),
        "loss": round(float(np.mean(history[-50:])), 4),
    }
    return model.eval(), tokenizer, card


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    import inspect

    import open_clip

    known = inspect.signature(open_clip.CLIP.__init__).parameters
    text = {k: v for k, v in config["text_cfg"].items() if k not in ("tokenizer_kwargs",)}
    return {k: v for k, v in {**config, "text_cfg": text, "output_dict": False}.items() if k in known}


def zero_shot(encoder: Any, seed: int, count: int = 300) -> dict[str, float]:
    """Balanced accuracy of the captions' own contrast on phantoms that training never saw."""
    import encoders
    import tasks

    asks = {
        "contrast": (
            "contrast",
            {w: [f"{a} {b}" for a in ABDOMEN for b in CONTRAST[w]] for w in ("plain", "enhanced")},
        ),
        "depth": (
            "depth",
            {c: [f"{a} where the {c} marker is nearest" for a in LUMEN] for c in ("red", "green", "blue")},
        ),
    }
    scores = {}
    for name, (task_name, prompts) in asks.items():
        task = tasks.load(task_name)
        assert task.phantoms is not None
        items = list(task.items(task.phantoms(count, seed), np.random.default_rng(seed), None))
        images = np.concatenate(
            [
                encoders.encode(encoder, [i.picture.read() for i in items[s : s + 32]], {"joint": ["vector"]})[
                    "joint/vector"
                ]
                for s in range(0, len(items), 32)
            ]
        )
        images /= np.linalg.norm(images, axis=1, keepdims=True)
        columns = []
        for sentences in prompts.values():
            text = encoder.text(sentences)
            mean = (text / np.linalg.norm(text, axis=1, keepdims=True)).mean(0)
            columns.append(images @ (mean / np.linalg.norm(mean)))
        predicted = np.array(list(prompts))[np.argmax(columns, axis=0)]
        labels = np.array([str(i.label) for i in items])
        scores[name] = round(float(np.mean([(predicted[labels == c] == c).mean() for c in prompts])), 3)
    return scores


def probed(encoder: Any, seed: int, count: int = 200) -> dict[str, str]:
    """Ridge probe of the pooled vector on phantoms that training never saw: score and 95 % interval."""
    import encoders
    import probes
    import tasks

    scores = {}
    for name in ("contrast", "depth", "orientation", "mirror"):
        task = tasks.load(name)
        assert task.phantoms is not None
        assert task.classes is not None
        items = list(task.items(task.phantoms(count, seed), np.random.default_rng(seed), None))
        batches = [[i.picture.read() for i in items[s : s + 32]] for s in range(0, len(items), 32)]
        x = np.concatenate([encoders.encode(encoder, b, {"pooled": ["vector"]})["pooled/vector"] for b in batches])
        y = np.array([task.classes.index(str(i.label)) for i in items])
        groups = np.array([i.group for i in items])
        given = probes.FeatureSet(x=x, y=y, groups=groups, ids=[i.id for i in items], classes=task.classes)
        plan = probes.plan(y, groups, classes=task.classes, seed=seed)
        e = probes.measure(given, plan, probe="ridge", detect=False, nested=False).estimate
        scores[name] = f"{e.score:.3f} [{e.low:.3f}, {e.high:.3f}]"
    return scores


def measured(folder: Path, seed: int) -> dict[str, Any]:
    """Zero-shot and probe scores of trained weights, loaded as any user loads them."""
    import encoders

    encoder = encoders.load("phantom-clip", weights=str(folder))
    return {
        "zero_shot_balanced_accuracy": zero_shot(encoder, seed + 2_000_003),
        "probe_balanced_accuracy_at_pooled": probed(encoder, seed + 3_000_017),
    }


def trained(asked: Training, folder: Path) -> dict[str, Any]:
    """Train, save in open_clip's on-disk format, measure; returns what card.json then says.

    Raises:
        UsageError: the folder holds a trained model already.
    """
    from safetensors.torch import save_file

    if (folder / "open_clip_model.safetensors").exists():
        raise UsageError(f"{folder} holds a trained model already; name an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    model, _, card = train(asked, folder)
    state = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    card["parameters"] = sum(v.numel() for v in state.values())
    card |= measured(folder, asked.seed)
    write_atomically(folder / "card.json", as_json(card))
    return card

"""What haematoxylin and eosin show of each layer: nuclei, fibres, fat cells, vessels, in absorbances.

Light through the section follows Beer and Lambert with one absorbance vector per stain (Ruifrok and
Johnston 2001).
"""

import numpy as np

from tasks._phantom import bell, inside, noise, smooth
from tasks._tissue_patient import EPITHELIUM, FAT, LUMEN, MUSCLE, STROMA, Plan, Wall

BLUE = np.array([0.65, 0.70, 0.29])
PINK = np.array([0.09, 0.95, 0.28])
SPACING = {EPITHELIUM: 7.2, STROMA: 12.5, MUSCLE: 12.0, FAT: 30.0}  # of nuclei, pixels at 224
SHAPE = {EPITHELIUM: (2.7, 2.1), STROMA: (3.8, 1.2), MUSCLE: (5.0, 1.15), FAT: (3.2, 1.2)}


def _lattice(rng: np.random.Generator, size: int, pitch: float) -> np.ndarray:
    """Points [n, 2] (row, column) spread over the image at about one per `pitch` by `pitch` pixels."""
    k = int(size / pitch) + 2
    at = (np.stack(np.meshgrid(np.arange(k), np.arange(k), indexing="ij"), -1) + rng.uniform(0, 1, 2)) * pitch
    at[1::2, :, 1] += pitch / 2
    at = (at - pitch + rng.uniform(-0.36, 0.36, at.shape) * pitch).reshape(-1, 2)
    return at[((at >= 0) & (at < size - 1)).all(1)]


def _nuclei(p: Wall, given: Plan, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middles [n, 2], half axes with direction [n, 3] and absorbances [n] of all nuclei."""
    unit, found = size / 224 * p.zoom, []
    for layer, pitch in SPACING.items():
        at = _lattice(rng, size, pitch * unit)
        row, column = at.round().astype(int).T
        at = at[given.labels[row, column] == layer]
        row, column = at.round().astype(int).T
        n = len(at)
        long, short = (unit * rng.normal(v, 0.12 * v, n) for v in SHAPE[layer])
        spread = {EPITHELIUM: 3.0, STROMA: 0.55, MUSCLE: 0.12, FAT: 3.0}[layer]
        angle = p.turn + np.pi / 2 + rng.normal(0, spread, n)
        dark = rng.uniform(0.75, 1.15, n)
        if layer == EPITHELIUM:  # basal cells are crowded and dark, those at the surface pale and flat
            up = np.clip(1 - given.across[row, column] / p.epithelium, 0, 1)
            angle, dark = np.where(up > 0.6, p.turn + np.pi / 2, angle), dark * (1.15 - 0.55 * up)
            short = short * (1 - 0.45 * up)
        if layer == STROMA:
            round_ = rng.uniform(0, 1, n) < p.crowd
            long, short = np.where(round_, 1.9 * unit, long), np.where(round_, 1.8 * unit, short)
            dark = np.where(round_, 1.25, dark)
        found.append((at, np.stack([long, np.maximum(short, 0.8), angle], 1), dark))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))  # pyright: ignore[reportReturnType]


def _stamped(nuclei: tuple[np.ndarray, np.ndarray, np.ndarray], size: int) -> np.ndarray:
    """Absorbance of all nuclei, the darkest where they overlap, float32 [size, size]."""
    at, shape, dark = nuclei
    reach = int(np.ceil(shape[:, 0].max(initial=1))) + 1
    line = np.arange(-reach, reach + 1)
    middle = at.round().astype(int)
    dy = (line[None, :, None] + (middle - at)[:, 0, None, None]).astype(np.float32)
    dx = (line[None, None, :] + (middle - at)[:, 1, None, None]).astype(np.float32)
    long, short, angle = (shape[:, j, None, None].astype(np.float32) for j in range(3))
    c, s = np.cos(angle), np.sin(angle)
    q = np.sqrt(((c * dx + s * dy) / long) ** 2 + ((c * dy - s * dx) / short) ** 2)
    value = np.clip(1.25 - (q - np.float32(0.4)) * short, 0, 1) * dark[:, None, None].astype(np.float32)
    out = np.zeros((size + 2 * reach, size + 2 * reach), np.float32)
    where = (middle[:, 0, None, None] + reach + line[:, None]) * out.shape[1] + middle[:, 1, None, None] + reach + line
    np.maximum.at(out.reshape(-1), where.ravel(), value.ravel())
    return out[reach:-reach, reach:-reach]


def _cells(rng: np.random.Generator, size: int, pitch: float) -> np.ndarray:
    """Distance from every pixel to the nearest wall between fat cells, pixels, float32 [size, size]."""
    half = -(-size // 2)
    k = int(size / pitch) + 4
    seeds = (np.arange(k)[:, None, None], np.arange(k)[None, :, None])
    seeds = np.concatenate(np.broadcast_arrays(*seeds), -1) + rng.uniform(0.12, 0.88, (k, k, 2))
    line = (np.arange(half) * 2 + 1) / pitch + 1.5
    own = line.astype(int)
    first, second = np.full((half, half), 99, np.float32), np.full((half, half), 99, np.float32)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            seed = seeds[own + i][:, own + j].astype(np.float32)
            far = (seed[..., 0] - line[:, None].astype(np.float32)) ** 2
            far += (seed[..., 1] - line.astype(np.float32)) ** 2
            second = np.minimum(second, np.maximum(first, far))
            first = np.minimum(first, far)
    wall = (np.sqrt(second) - np.sqrt(first)) * np.float32(pitch / 2)
    return smooth(np.repeat(np.repeat(wall, 2, 0), 2, 1)[:size, :size], 0.8)


def _fibres(p: Wall, given: Plan, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Loose waves of collagen and tight bundles of muscle, each about normal, read from one long texture."""
    texture = noise(rng, 256, (40, 90), 0.8).ravel()
    bent = given.across + np.float32(p.swirl) * given.wander

    def read(v: np.ndarray, fine: float, long: float) -> np.ndarray:
        row = (np.abs(v + 1) * np.float32(128 * fine / p.zoom)).astype(np.int32) & 255
        column = (np.abs(given.along + 1.5) * np.float32(128 * long / p.zoom)).astype(np.int32) & 255
        return texture[row * 256 + column]

    return read(bent, 0.7, 0.28), read(given.across + np.float32(0.02) * given.wander, 0.75, 0.12)


def _vessels(p: Wall, given: Plan, rng: np.random.Generator, pink: np.ndarray, blue: np.ndarray) -> None:
    """Small vessels in the stroma, with red cells in some."""
    size = len(pink)
    rows, columns = np.nonzero(given.labels == STROMA)
    for _ in range(p.vessels if len(rows) else 0):
        k, r, tall = rng.integers(len(rows)), rng.uniform(4, 9) * size / 224, rng.uniform(0.6, 1)
        full = np.float32(rng.choice([0.05, 1.1]))
        low, left = (max(int(at[k] - r - 6), 0) for at in (rows, columns))
        window = np.s_[low : int(rows[k] + r + 7), left : int(columns[k] + r + 7)]
        here = given.labels[window] == STROMA
        down, right = np.arange(here.shape[0]) + low - rows[k], np.arange(here.shape[1]) + left - columns[k]
        far = (np.hypot(down[:, None], right / tall) - r).astype(np.float32)
        hole = inside(far, 1.5) * here
        pink[window] = pink[window] * (1 - hole) + full * hole + np.float32(0.35) * bell((far - 1) / 2) * here
        blue[window] *= 1 - hole


def absorbed(p: Wall, given: Plan, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Haematoxylin and eosin in every pixel, float32 [size, size] each."""
    size, labels = len(given.labels), given.labels
    loose, tight = _fibres(p, given, rng)
    fat = _cells(rng, size, 27 * size / 224 * p.zoom)
    fine = noise(rng, size, (70,))
    up = np.clip(1 - given.across / np.float32(p.epithelium), 0, 1)
    pink = np.choose(
        labels,
        (
            0.36 + 0.05 * fine + 0.3 * np.clip(up - 0.7, 0, 1),
            np.clip(0.34 + 0.17 * loose, 0.02, 1),
            np.clip(0.66 + 0.10 * tight, 0, 1)
            * (1 - np.float32(0.8 * p.clefts) * inside(tight + np.float32(1.7), 0.4)),
            0.50 * inside(fat - np.float32(0.9), 1.2) + np.float32(0.015),
            np.float32(0.01),
        ),
    ).astype(np.float32)
    base = np.array([0.30, 0.05, 0.09, 0.0, 0.0], np.float32)
    blue = base[labels] * (1 + np.float32(0.25) * fine)
    _vessels(p, given, rng, pink, blue)
    nuclei = _stamped(_nuclei(p, given, rng, size), size)
    nuclei *= np.where(labels == FAT, inside(fat - np.float32(1.6), 1.5), labels != LUMEN)
    return np.maximum(blue, nuclei), pink * (1 - np.float32(0.5) * np.minimum(nuclei, 1))


def render(p: Wall, given: Plan, rng: np.random.Generator) -> np.ndarray:
    """The section in white light, uint8 [size, size, 3]."""
    size = len(given.labels)
    blue, pink = (smooth(stain, p.blur * size / 224) for stain in absorbed(p, given, rng))
    blue *= np.float32(p.haematoxylin * 1.25)
    pink *= np.float32(p.eosin * 1.1)
    grain = np.float32(p.grain) * rng.standard_normal((size, size), np.float32)
    tilt = np.array([-1.0, 0.3, 1.0])
    out = np.empty((size, size, 3), np.float32)
    for channel in range(3):
        of_blue = np.float32(BLUE[channel] + p.hue_h * tilt[channel])
        of_pink = np.float32(PINK[channel] + p.hue_e * tilt[2 - channel])
        white = 255 * (p.ground - p.warmth * tilt[channel])
        out[..., channel] = np.exp(grain - of_blue * blue - of_pink * pink) * np.float32(white) + np.float32(0.5)
    return np.clip(out, 0, 255).astype(np.uint8)

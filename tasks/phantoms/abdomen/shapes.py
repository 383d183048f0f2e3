"""Shapes that enhance in a slice of the abdomen: kidneys, vessels, liver and spleen as ellipses."""

import math
from dataclasses import dataclass

import numpy as np

from tasks.phantoms.abdomen import patient as t
from tasks.phantoms.abdomen.patient import Abdomen, Length

Part = tuple[int, Length, Length, Length, Length, Length]  # tissue, x, y, radii, turn


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What enhances: its parts, where its double should lie, and whether it is left out where that finds no room."""

    parts: list[Part]
    home: tuple[float, float]
    spare: bool = False
    walled: bool = False  # follows the wall of the cavity, and gives way to the kidneys


def _kidney(p: Abdomen, side: int, rng: np.random.Generator) -> list[Part]:
    x, y = side * 6.3, 3.1 + p.kidney_y - side * 0.25
    rx, ry = 2.15 * p.kidney * (0.9 + 0.2 * rng.random()), 2.75 * p.kidney * (0.9 + 0.2 * rng.random())
    parts: list[Part] = [(t.KIDNEY, x, y, rx, ry, side * 0.35)]
    for nth in (-1.6, -0.53, 0.53, 1.6):
        turn = (0 if side > 0 else math.pi) + side * (nth + 0.15 * rng.standard_normal())
        px, py = x + 0.5 * rx * math.cos(turn), y + 0.55 * ry * math.sin(turn)
        parts.append((t.PYRAMID, px, py, 0.27 * rx, 0.17 * ry, turn))
    depth, high = 0.75 + 0.25 * rng.random(), 0.18 + 0.16 * rng.random()
    return [*parts, (t.FAT, x - side * depth * rx, y - 0.2 * ry, 0.55 * rx, high * ry, side * 0.35)]


def _liver(p: Abdomen, rng: np.random.Generator) -> list[Part]:
    x, y = -13.1 + 2.6 * p.liver, -1.7 + p.liver_low
    parts: list[Part] = [(t.LIVER, x, y, 2.6 * p.liver, 4.1 * p.liver, -0.1)]
    for right, low, rx, ry, turn in rng.random((4, 5)).tolist():  # veins
        at = x + p.liver * (1.6 * right - 0.8), y + p.liver * (5.0 * low - 2.5)
        parts.append((t.PORTAL, *at, 0.18 + 0.3 * rx, 0.14 + 0.1 * ry, 3 * turn))
    return parts


def shapes(p: Abdomen, rng: np.random.Generator) -> list[Shape]:
    """What enhances, in the order in which doubles are placed."""
    aorta: list[Part] = [(t.AORTA, p.aorta_x, p.aorta_y, p.aorta, p.aorta, 0.0)]
    for turn in (6.3 * rng.random(3)).tolist() if p.calcified else ():
        x, y = p.aorta_x + p.aorta * math.cos(turn), p.aorta_y + p.aorta * math.sin(turn)
        aorta.append((t.CORTEX, x, y, 0.14, p.calcified, turn))
    above = p.aorta_y - p.aorta - 1.4
    out = [
        Shape(parts=aorta, home=(-8.2, -5.4)),
        Shape(parts=[(t.CAVA, p.aorta_x - p.aorta - 2.1, 0.4, 1.1, 0.65 + 0.3 * rng.random(), 0.2)], home=(8.0, -6.6)),
        Shape(parts=[(t.PORTAL, p.aorta_x - 1.9, above + 0.2, 0.68, 0.6, 0.0)], home=(5.4, -1.4)),
        Shape(parts=[(t.AORTA, p.aorta_x + 0.2, above, 0.42, 0.42, 0.0)], home=(4.4, -1.6)),
        Shape(parts=_liver(p, rng), home=(3.0, -5.8), walled=True),
        Shape(parts=_kidney(p, 1, rng), home=(7.4, -3.0)),
        Shape(parts=_kidney(p, -1, rng), home=(-3.8, -6.4)),
        Shape(parts=[(t.SPLEEN, 13.0 - 1.8 * p.spleen, -0.6, 1.8 * p.spleen, 3.2 * p.spleen, 0.15)],
              home=(-3.0, -3.2), walled=True),
    ]  # fmt: skip
    for x, y, rx, ry, turn, left, up in rng.random((3, 7)).tolist():
        twig = (t.TWIG, 12 * x - 4, 5.5 * y - 6.5, 0.2 + 0.35 * rx, 0.15 + 0.1 * ry, 3 * turn)
        out.append(Shape(parts=[twig], home=(13 * left - 4, 6.5 * up - 6.5), spare=True))
    return out

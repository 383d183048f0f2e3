"""Figures of runs that a test does not look at."""

from pathlib import Path

import pytest


def no_figures(patch: pytest.MonkeyPatch) -> None:
    """Figures are laid out, and empty files are written in their place; drawing one takes most of a second."""
    patch.setattr("slitlamp.reports.plots.save", _empty)


def _empty(_figure: object, stem: Path) -> list[str]:
    names = [f"{stem.name}{suffix}" for suffix in (".pdf", ".svg", ".png")]
    for name in names:
        (stem.parent / name).touch()
    return names

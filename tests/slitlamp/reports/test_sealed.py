"""A figure is drawn again where anything that it rests on has changed, and only there."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from slitlamp.reports import plots, sealed

SUFFIXES = ("pdf", "svg", "png")


def picture(rows: Any, *, wide: int = 85) -> Any:
    return rows, wide


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], bool]:
    """Whether a figure was drawn by this call."""
    calls: list[int] = []

    def written(draw: Callable[[], Any], stem: Path) -> list[str]:
        calls.append(1)
        for suffix in SUFFIXES:
            stem.with_suffix(f".{suffix}").write_text(repr(draw()))
        return [f"{stem.name}.{suffix}" for suffix in SUFFIXES]

    def ask(draw: Callable[[], Any]) -> bool:
        calls.clear()
        names = sealed.written(draw, tmp_path / "f", tmp_path / "f.sha256", sealed.seal_of(draw))
        assert names == ["f.pdf", "f.svg", "f.png"]
        return bool(calls)

    monkeypatch.setattr(plots, "written", written)
    return ask


def test_a_figure_is_drawn_again_where_values_code_libraries_or_files_changed(
    drawn: Callable[[Callable[[], Any]], bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = partial(picture, [{"score": 0.1}])
    assert drawn(one)
    assert not drawn(one)
    assert not drawn(partial(picture, [{"score": 0.1}]))
    assert drawn(partial(picture, [{"score": 0.1 + 1e-15}]))
    assert drawn(partial(picture, [{"score": 0.1 + 1e-15}], wide=175))
    assert drawn(one)
    (tmp_path / "f.svg").write_text("half of i")
    assert drawn(one)
    (tmp_path / "f.png").unlink()
    assert drawn(one)
    (tmp_path / "f.sha256").write_text("damaged")
    assert drawn(one)
    with monkeypatch.context() as patch:
        patch.setattr(sealed, "code_digest", lambda _: "another line")
        assert drawn(one)
        assert not drawn(one)
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda name: f"{name} of tomorrow")
        assert drawn(one)
    assert drawn(one)


def test_what_a_figure_rests_on_is_not_guessed(drawn: Callable[[Callable[[], Any]], bool]) -> None:
    def inner(rows: Any) -> Any:
        return rows

    for draw in (lambda: 1, partial(inner, [1]), partial(picture, [object])):
        assert sealed.seal_of(draw) is None
        assert drawn(draw)
        assert drawn(draw)

"""A library that is older than the project requires is refused in one line, before anything is fetched."""

import tomllib
from collections.abc import Iterator
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import encoders
from encoders import EncoderError
from encoders.answering.load import TESTED
from encoders.libraries.floors import LIBRARIES, too_old
from slitlamp import doctor
from tests.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def requires(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the project's metadata says it requires, to be changed."""
    lines = ["transformers>=5.20", "numpy>=2", "never-installed>=1", "pytest>=99; extra == 'tracker'"]
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    too_old.cache_clear()
    yield lines
    too_old.cache_clear()


def test_an_old_library_is_refused_by_whoever_rests_on_it(requires: list[str]) -> None:
    assert too_old() == ()
    encoders.load("phantom-clip")
    requires[0] = "transformers>=99"
    too_old.cache_clear()
    line = f"transformers {metadata.version('transformers')} is installed, and transformers>=99 is needed"
    for load, spec in ((encoders.load, "biomedclip"), (encoders.load, "hf:a/b@main"), (encoders.load_whole, "llava")):
        with pytest.raises(EncoderError) as refused:
            load(spec, offline=True)
        assert str(refused.value) == f"{spec}: {line}; `./uv sync` brings the tested versions"
    encoders.load(f"{ROOT}/tests/numpy_encoder.py")  # a user's own file may rest on what it likes


def test_the_doctor_names_every_old_library(requires: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MODULES", ())
    doctor._imports()
    requires[1] = "numpy>=99"
    too_old.cache_clear()
    with pytest.raises(ImportError, match=r"numpy .* is installed, and numpy>=99 is needed"):
        doctor._imports()
    encoders.load("phantom-clip")  # which rests on no newer numpy that is known


def test_a_project_that_is_not_installed_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", absent)
    too_old.cache_clear()
    assert too_old() == ()
    too_old.cache_clear()


def test_what_is_pinned_and_what_is_installed_lies_above_the_floors() -> None:
    lines = [Requirement(line) for line in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]]
    floors = {canonicalize_name(line.name): line.specifier for line in lines}
    assert set(LIBRARIES) <= set(floors)
    assert str(floors[canonicalize_name("transformers")]) == ">=" + ".".join(map(str, TESTED[0]))
    pinned = [Requirement(line) for line in PROJECT["tool"]["uv"]["constraint-dependencies"]]
    versions = [(pin.name, next(iter(pin.specifier)).version) for pin in pinned if pin.name in floors]
    assert {name for name, _ in versions} == set(floors)
    for name, version in [*versions, *((name, metadata.version(name)) for name in floors)]:
        assert floors[canonicalize_name(name)].contains(version), f"{name} {version} is below {floors[name]}"

"""No dependency is under a licence that would bind a user's own work: none of GPL, LGPL, AGPL."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT

COPYLEFT = re.compile(r"\bA?L?GPL|\bGNU\b|General Public License|Lesser General", re.IGNORECASE)
EXPECTED = {  # name: why what it says, or does not say, binds nobody
    "cuda-toolkit": "no content: it names the parts of NVIDIA's CUDA that torch asks for, each under NVIDIA's licence",
}


def closure(names: Iterable[str]) -> Iterator[Distribution]:
    """The installed distributions of these requirements and of what they require, each once."""
    waiting, seen = [Requirement(line) for line in names], set()
    while waiting:
        requirement = waiting.pop()
        extras = frozenset(requirement.extras)
        key = (canonicalize_name(requirement.name), extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            found = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # of another platform
        if not any(name == key[0] and others != extras for name, others in seen):
            yield found
        for line in found.requires or ():
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append(inner)


def licences(found: Distribution) -> list[str]:
    """What a distribution says of its licence: an expression, or its classifiers and the first line of the field.

    Without classifiers the whole field is read; beside them it may name licences of bundled parts.
    """
    said: Any = found.metadata
    if expression := said.get("License-Expression"):
        return [expression]
    marks = [c.rpartition(" :: ")[2] for c in said.get_all("Classifier") or [] if c.startswith("License ::")]
    lines = [line.strip() for line in (said.get("License") or "").splitlines() if line.strip()]
    return [*marks, *(lines[:1] if marks else lines)]


def binding(said: Iterable[str]) -> bool:
    """Whether a licence is copyleft with no permissive choice beside it.

    >>> binding(["MIT OR GPL-3.0-only"]), binding(["BSD-3-Clause AND LGPL-2.1-or-later"]), binding(["Zope"])
    (False, True, False)
    >>> binding(["GNU General Public License v3 (GPLv3)"]), binding(["GPL-2.0-only WITH GCC-exception-2.0"])
    (True, True)
    """
    return any(
        all(COPYLEFT.search(choice) for choice in re.split(r"\bOR\b|/", part))
        for line in said
        for part in re.split(r"\bAND\b", line)
    )


def refused(distributions: Iterable[Distribution]) -> list[str]:
    """The distributions under such a licence, or of whose licence nothing is known, in words."""
    found = []
    for one in distributions:
        name, said = canonicalize_name(one.metadata["Name"]), licences(one)
        if name in EXPECTED:
            continue
        if binding(said):
            found.append(f"{name}: {' / '.join(said)}")
        elif not said:
            found.append(f"{name}: says no licence")
    return found


def declared() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def test_no_dependency_is_under_a_copyleft_licence() -> None:
    found = list(closure(declared()))
    names = {canonicalize_name(one.metadata["Name"]) for one in found}
    assert {"torch", "captum", "umap-learn", "llvmlite", "sympy"} <= names  # what ours require is there too
    assert refused(found) == []


def test_what_is_named_as_an_exception_is_one() -> None:
    there = {canonicalize_name(one.metadata["Name"]) for one in closure(declared())}
    for name in there & EXPECTED.keys():
        said = licences(distribution(name))
        assert binding(said) or not said, f"{name} needs no exception any more"


def planted(folder: Path, name: str, *lines: str) -> Distribution:
    home = folder / f"{name}-1.0.dist-info"
    home.mkdir()
    (home / "METADATA").write_text("\n".join(("Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines, "")))
    return Distribution.at(home)


def test_a_distribution_under_such_a_licence_is_found(tmp_path: Path) -> None:
    gpl = "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)"
    found = refused(
        [
            planted(tmp_path, "quantus", gpl),
            planted(tmp_path, "zennit", "License: LGPL-3.0-or-later"),
            planted(tmp_path, "mixed", "License-Expression: MIT AND AGPL-3.0-only"),
            planted(tmp_path, "prose", "License: Copyright (c) 2025 somebody", "        GNU General Public License"),
            planted(tmp_path, "silent"),
            planted(tmp_path, "dual", "License-Expression: Apache-2.0 OR GPL-3.0-or-later"),
            planted(tmp_path, "plain", "License: BSD-3-Clause"),
        ]
    )
    assert [line.partition(":")[0] for line in found] == ["quantus", "zennit", "mixed", "prose", "silent"]

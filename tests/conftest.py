"""Each test process computes on one thread: two at once on two cores, each with two, would wait for one another."""

import os

import pytest

from tests.undrawn import no_figures

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not drawn in this test."""
    no_figures(monkeypatch)

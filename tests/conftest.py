"""Each test process computes on one thread, and alone: two at once on two cores would wait for one another.

Workers that nobody asked for take seconds to start, again in every folder; tests about workers ask for two.
"""

import os

import pytest

from tests.undrawn import no_figures

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ["COLUMNS"] = "120"  # tables and sentences are folded at it, whatever terminal the tests run in
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # how many of them joblib counts, where --jobs is omitted


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not drawn in this test."""
    no_figures(monkeypatch)

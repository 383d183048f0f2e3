"""The page: a policy without eval, labels as text whatever they hold, the same bytes twice; and a browser draws it."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from probes.embedding.trust import Trust
from slitlamp.embedding import page
from slitlamp.embedding.colours import Colouring
from slitlamp.embedding.figures import printable
from slitlamp.embedding.looked import Looked
from slitlamp.embedding.moved import Moved
from slitlamp.embedding.settings import MapSettings
from tasks import Picture, Row, Source

HOSTILE = (
    "</script><script>document.title='PWNED'</script>", "<img src=x onerror=document.title='PWNED'>", "]]>",
    "{{7*7}}", "${7*7}", "\u2028line\u2029", "\u202eabc", "<!--", "'\"`&;", "=cmd()", "x" * 10_000, "\\u003c", "\x00",
)  # fmt: skip


class _Card:
    synthetic = False


class _Encoder:
    """As much of an encoder as the page asks for."""

    card = _Card()

    def __init__(self, label: str) -> None:
        self.label = label


class _Estimate:
    metric, score, low, high, chance = "balanced accuracy", 0.8, 0.7, 0.9, 0.5


class _Plan:
    classes = ("a", "b")


class _Predictions:
    def __init__(self, n: int) -> None:
        self.score = np.random.default_rng(n).normal(size=(1, n, 2))


class _Measurement:
    estimate, plan, probe = _Estimate(), _Plan(), "ridge"

    def __init__(self, n: int) -> None:
        self.predictions = _Predictions(n)


class _Pictures:
    @staticmethod
    def read(k: int) -> np.ndarray:
        return np.full((80, 100), k % 256, np.uint8)


class _Question:
    """As much of a question as the page asks for: `n` items with hostile names and answers."""

    def __init__(self, n: int) -> None:
        self.name = HOSTILE[0]
        self.ids = tuple(f"{k} {HOSTILE[k % len(HOSTILE)]}" for k in range(n))
        self.y = np.arange(n) % len(HOSTILE)
        self.classes: Any = HOSTILE
        self.groups = np.array([HOSTILE[k % len(HOSTILE)] for k in range(n)])
        self.pictures = _Pictures()
        rows = tuple(
            Row(id=i, group="g", picture=Picture(read=lambda: np.zeros((1, 1))), place="row 3") for i in self.ids
        )
        self.source = Source(name=HOSTILE[1], rows=rows)


def view_of(n: int = 60, points: int = 2, *, visible: bool = True) -> page.View:
    question: Any = _Question(n)
    rng = np.random.default_rng(0)
    colourings = [
        Colouring(name=HOSTILE[0], kind="answer", values=question.y, classes=HOSTILE, origin="task"),
        Colouring(name=HOSTILE[1], kind="nuisance", values=np.where(np.arange(n) % 9 == 0, np.nan, np.arange(n) / 7.0),
                  classes=None, origin="image"),
        Colouring(name=HOSTILE[6], kind="nuisance", values=np.arange(n) % 2 - (np.arange(n) % 5 == 0),
                  classes=HOSTILE[2:4], origin="manifest"),
    ]  # fmt: skip
    looked: list[Any] = []
    for k in range(points):
        x = rng.normal(size=(n, 3))
        places = (np.arange(n)[:, None] + np.arange(1, 5)) % n
        trust = Trust(trustworthiness=0.9, continuity=0.9, preserved=0.5, chance=0.1, neighbours=4, items=n)
        looked.append(
            Looked(
                encoder=_Encoder(HOSTILE[k]), site="final", readout="mean", x=x, places=places,
                measurement=_Measurement(n), maps={"pca": x[:, :2], "umap": x[:, 1:]},
                trusts={"pca": trust, "umap": trust}, shares=np.array([0.5, 0.2]),
            )
        )  # fmt: skip
    moved = [Moved(first=looked[0], second=other, shared=rng.random(n), distance=rng.random(n)) for other in looked[1:]]
    return page.View(
        question=question, looked=looked, colourings=colourings, moved=moved, sentences=HOSTILE, notes=HOSTILE,
        visible=visible, own=MapSettings(moved=3), seed=0, command=HOSTILE[0],
    )  # fmt: skip


def test_the_policy_lets_no_script_in_but_our_own_two() -> None:
    html = page.html(view_of())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe-eval" not in policy[1]
    assert "script-src 'unsafe-inline'" not in policy[1]
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy[1]) == hashes
    assert len(scripts) == 2
    assert "ast: true" in scripts[1]
    assert "addSignalListener('by', () => setTimeout(() => view.resize()" in scripts[1]  # else a longer legend is cut


def test_hostile_labels_are_text_and_no_line_ends() -> None:
    html = page.html(view_of())
    outside = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    assert "<script" not in outside
    assert "<img src=x" not in outside
    for one in ("\u2028", "\u2029", "\u202e", "\x00", "x" * 3000):
        assert one not in html
    for name in ("spec", "items"):
        held = html.partition(f"<script type='application/json' id='{name}'>")[2].partition("</script>")[0]
        assert "<" not in held
        json.loads(held)
    names = json.loads(html.partition("id='items'>")[2].partition("</script>")[0])["names"]
    assert names[2].startswith("</script><script>")  # as text it is kept


def test_labels_on_one_line_are_cut_and_what_does_not_print_is_written_out() -> None:
    assert printable("a\u202eb\nc") == "a\\u202eb\\nc"
    assert len(printable("x" * 10_000)) == 60
    assert printable("\U0001f600 ü 漢") == "\U0001f600 ü 漢"


def test_the_page_is_the_same_bytes_twice() -> None:
    assert page.html(view_of()) == page.html(view_of())


def test_the_specification_compiles_and_every_point_finds_its_colour() -> None:
    import vl_convert

    view = view_of()
    spec = page.specification(view, np.flatnonzero(view.question.y > 1))  # without the first two classes
    made = vl_convert.vegalite_to_vega(spec)
    assert len([mark for mark in made["marks"] if mark["type"] == "group"]) == 6
    params = {one["name"]: one.get("value") for one in spec["params"]}
    for j in range(3):
        codes = {row["c"][j] for row in spec["data"]["values"]}
        assert codes == set(range(len(params["names"][j])))
        assert len(params["colours"][j]) == len(params["shapes"][j]) == len(codes)
    assert {"]]>", "another"} <= set(params["names"][0])  # thirteen classes, of which six have colours
    assert "<img" not in "".join(params["names"][0])
    assert "scores, main direction, held out" in json.dumps(spec)
    question: Any = view.question
    question.classes = None
    assert "prediction, held out" in json.dumps(page.specification(view, np.arange(60)))


@pytest.mark.parametrize("most", [10, 50, 400])
def test_a_sample_has_equal_shares_of_every_answer(most: int) -> None:
    question: Any = _Question(390)
    question.y = np.repeat([0, 1, 2], [300, 60, 30])
    found = page.sample(question, 390, most, 0)
    assert len(found) == min(most, 390)
    assert (np.diff(found) > 0).all()
    shares = np.bincount(question.y[found], minlength=3) / len(found)
    assert np.abs(shares - np.array([300, 60, 30]) / 390).max() < 0.1
    np.testing.assert_array_equal(found, page.sample(question, 390, most, 0))
    if most < 390:
        assert found.tolist() != page.sample(question, 390, most, 1).tolist()


def test_what_is_not_drawn_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "POINTS", 40)
    monkeypatch.setattr(page, "IMAGES", 20)
    html = page.html(view_of())
    assert "40 of 60 points are drawn here" in html
    assert "20 of 40 points show their image" in html
    held = json.loads(html.partition("id='items'>")[2].partition("</script>")[0])
    assert len(held["rows"]) == len(held["images"]) == 40
    assert sum(bool(one) for one in held["images"]) == 20
    assert "data:image/webp" not in page.html(view_of(visible=False)).split("<script>")[0]


def test_a_browser_without_a_network_draws_it(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    (tmp_path / "map.html").write_text(page.html(view_of()), encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
         f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=20000",
         "--dump-dom", (tmp_path / "map.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    body = done.stdout.partition("<body")[2]
    assert 'data-drawn="yes"' in body[:200], done.stderr[-2000:]
    assert "<canvas" in body
    assert "<title>PWNED" not in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]

"""Which encoders a run asks: labels, weights for each, sites where they exist, and the device."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from cache import Store
from encoders import Card, EncoderError, Site
from slitlamp.answers.stored import StoredModel
from slitlamp.encoding import encoder as module
from slitlamp.encoding.encoder import StoredEncoder, check_points, errors_of_device, named, resolve_device, weights_of
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError
from slitlamp.settings import EncoderSettings
from tasks import Picture
from tests.paths import ROOT


@pytest.mark.parametrize(
    ("encoder", "weights", "found"),
    [
        (("clip-b16",), ("a.pt",), {"clip-b16": "a.pt"}),
        (("clip-b16", "clip-l14"), ("clip-l14=a.pt",), {"clip-l14": "a.pt"}),
        (("mine=clip-b16", "theirs=clip-b16"), ("mine=a=1.pt", "theirs=b"), {"mine": "a=1.pt", "theirs": "b"}),
        (("hf:a/b@c", "timm:x.y"), ("hf:a/b@c=d", "timm:x.y=e"), {"hf:a/b@c": "d", "timm:x.y": "e"}),
        (("clip-b16",), ("lr=0.1/a.pt",), {"clip-b16": "lr=0.1/a.pt"}),
    ],
)
def test_each_encoder_gets_the_weights_that_were_given_for_it(
    encoder: tuple[str, ...], weights: tuple[str, ...], found: dict[str, str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("lr=0.1").mkdir()
    Path("lr=0.1/a.pt").touch()
    assert weights_of(EncoderSettings(encoder=encoder, weights=weights)) == found


@pytest.mark.parametrize(
    ("encoder", "weights", "line"),
    [
        (
            ("clip-b16", "clip-l14"),
            ("a.pt",),
            "can stand for one encoder, not for clip-b16 and clip-l14: say NAME=PATH",
        ),
        (("clip-b16", "clip-l14"), ("clip-b61=a.pt",), r"clip-b61 is none of .*; did you mean clip-b16=a.pt\?"),
        (("clip-b16",), ("zzz=a.pt",), "zzz is none of the encoders that are asked, clip-b16$"),
        (("clip-b16",), ("a", "b"), "clip-b16 is given two, a and b; to ask both: --encoder a=clip-b16 b=clip-b16"),
        (("a=clip-b16", "a=clip-l14"), (), "a stands for clip-b16 already"),
        (("clip-l14=clip-b16",), (), "clip-l14 is another encoder"),
        (("thumb=pixels",), (), "pixels has no weights that could differ"),
    ],
)
def test_names_and_weights_that_do_not_fit_are_one_line(
    encoder: tuple[str, ...], weights: tuple[str, ...], line: str
) -> None:
    with pytest.raises(UsageError, match=line):
        weights_of(EncoderSettings(encoder=encoder, weights=weights))


MINE = """from pathlib import Path
import numpy as np
import encoders
FILES = ("w.npy",)
CARD = encoders.Card(name="mine", licence="MIT", sites={"pooled": encoders.Site(width=1)})
def load(device):
    w = np.load(Path(__file__).parent / "w.npy")
    features = lambda images: {"pooled": np.full((len(images), 1), w[0])}
    return encoders.from_function(CARD, features)
"""


def test_a_file_of_the_same_name_in_another_folder_is_another_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for spec in ("mine.py", "random:mine.py"):
        for number, place in enumerate(("one", "two", "one")):
            (tmp_path / place).mkdir(exist_ok=True)
            monkeypatch.chdir(tmp_path / place)
            Path("mine.py").write_text(MINE)
            np.save("w.npy", np.array([place == "two"], float))
            settings = EncoderSettings(encoder=(spec,))
            stored = StoredEncoder(
                spec=spec, settings=settings, store=Store(tmp_path / "s"), device="cpu", dtype="float32"
            )
            found[spec, number] = stored._key
            if spec == "mine.py":
                found[number] = (stored.fingerprint, bool(stored.loaded))
        assert found[spec, 0] == found[spec, 2] != found[spec, 1]
    assert found[0][0] == found[2][0] != found[1][0]
    assert [found[number][1] for number in range(3)] == [True, True, False]


@pytest.mark.parametrize("kind", [StoredEncoder, StoredModel])
def test_weights_of_the_same_name_in_another_folder_are_others(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(weights: str) -> str:
        settings = EncoderSettings(encoder=("llava-1.5-7b",), weights=(weights,))
        return kind(spec="llava-1.5-7b", settings=settings, store=Store(tmp_path), device="cpu", dtype="float32")._key

    keys = []
    for place in ("one", "two"):
        (tmp_path / place / "w").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / place)
        keys.append(key("w"))
    assert keys[0] != keys[1]
    assert key(str(tmp_path / "one" / "w")) == keys[0]


def test_a_label_is_the_name_in_the_run_and_what_is_loaded_is_behind_it(tmp_path: Path) -> None:
    settings = EncoderSettings(encoder=("mine=clip-b16", "clip-l14"), weights=("mine=a.pt",))
    assert named(settings) == {"mine": "clip-b16", "clip-l14": "clip-l14"}

    def stored(spec: str) -> StoredEncoder:
        return StoredEncoder(spec=spec, settings=settings, store=Store(tmp_path), device="cpu", dtype="float32")

    assert (stored("mine").label, stored("mine").source, stored("mine").weights) == ("mine", "clip-b16", "a.pt")
    draw = stored("random:mine#2")
    assert (draw.label, draw.source, draw.weights) == ("random:mine#2", "random:clip-b16#2", "a.pt")
    assert (stored("clip-l14").source, stored("clip-l14").weights) == ("clip-l14", None)
    assert (stored("pixels").source, stored("pixels").weights) == ("pixels", None)


def asked(cards: dict[str, list[str]], **flags: Any) -> list[StoredEncoder]:
    """Encoders with these sites (`pooled` a vector, others grids)."""
    settings = EncoderSettings(encoder=tuple(cards), **flags)
    found = []
    for name, sites in cards.items():
        card = Card(name=name, sites={s: Site(width=2, grid=None if s == "pooled" else (4, 4)) for s in sites})
        points = StoredEncoder.points
        one = SimpleNamespace(spec=name, card=card, settings=settings)
        one.points = lambda marks=0, one=one, points=points: points(cast(StoredEncoder, one), marks)
        found.append(one)
    return cast(list[StoredEncoder], found)


DEEP, FLAT = ["block.0", "block.1", "final", "pooled"], ["block.0", "final"]


def test_a_site_is_read_where_it_exists_and_where_it_does_not_is_said() -> None:
    both = asked({"deep": DEEP, "flat": FLAT}, site=("block.1", "final"))
    assert check_points(both) == ["flat has no site block.1; it is read where it exists"]
    assert [p[0] for p in both[1].points()] == ["final"] * 3
    alone = asked({"deep": DEEP, "flat": FLAT}, site=("block.1",))
    assert check_points(alone)[1] == "flat is left out: it has none of the sites and readouts that are asked"
    assert check_points(asked({"deep": DEEP, "flat": FLAT}, site=("block.*",), readout=("mean",))) == []


@pytest.mark.parametrize(
    ("cards", "flags", "line"),
    [
        (
            {"a": DEEP, "b": FLAT},
            {"site": ("poled",)},
            "no encoder of this run has a site 'poled'; did you mean pooled",
        ),
        ({"a": DEEP}, {"site": ("block.11",)}, "a has no site 'block.11'; it has block.0-1, final, pooled$"),
        ({"a": DEEP}, {"site": ("mean",)}, "mean is a readout: say --readout mean"),
        ({"a": DEEP}, {"readout": ("final",)}, "final is a site: say --site final"),
        ({"a": DEEP}, {"site": ("pooled",), "readout": ("mean",)}, "a has no point of the sites and readouts"),
        ({"a": DEEP, "b": FLAT}, {"site": ("pooled",), "readout": ("mean",)}, "none of the encoders has a point"),
    ],
)
def test_a_site_that_is_nowhere_is_refused_with_the_nearest_name(cards: dict, flags: dict, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        check_points(asked(cards, **flags))


@pytest.mark.parametrize(("cuda", "mps", "device"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_takes_the_gpu_there_is_and_a_device_that_is_named_is_never_replaced(
    cuda: bool, mps: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(module, "ACCELERATORS", ("null",))  # as where a driver is
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == device
    assert resolve_device("cuda:3") == "cuda:3"


@pytest.mark.skipif(sys.platform != "linux", reason="what a driver leaves in /dev")
def test_without_a_driver_torch_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ACCELERATORS", ("no-such-node*",))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert resolve_device("auto") == "cpu"


def test_an_apple_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    import encoders

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(EncoderError, match="device 'mps' is not there: torch sees no Apple GPU"):
        encoders.load("pixels", device="mps")


def test_what_a_gpu_raises_is_one_line_and_what_a_cpu_raises_is_itself() -> None:
    line = r"x cannot be computed on cuda:0 \(CUDA out of memory\); a smaller --batch"
    with pytest.raises(EncoderError, match=line), errors_of_device("x", "cuda:0"):
        raise RuntimeError("CUDA out of memory\nmany lines")
    with pytest.raises(RuntimeError, match=r"^shapes$"), errors_of_device("x", "cpu"):
        raise RuntimeError("shapes")


@pytest.mark.parametrize(
    "change", [{"fingerprint": "b"}, {"device": "cuda:0"}, {"dtype": "bfloat16"}, {"policy": {"window": "40/400"}}]
)
def test_features_that_rest_on_anything_else_have_a_place_of_their_own(tmp_path: Path, change: dict[str, Any]) -> None:
    from slitlamp.encoding.fill import space_of

    def place(fingerprint: str = "a", device: str = "cpu", dtype: str = "float32", policy: Any = ()) -> str:
        encoder = SimpleNamespace(fingerprint=fingerprint, device=device, dtype=dtype, store=Store(tmp_path), label="")
        return space_of(encoder, dict(policy)).digest  # type: ignore[arg-type]

    assert place(**change) != place()
    assert place() == place(policy={})
    assert place(device="cuda:0") == place(device="cuda:1"), "the number of a device changes no feature"


def test_the_same_image_with_another_mark_is_another_thing_to_encode(tmp_path: Path) -> None:
    def contents(x: float, *, marked: bool = True) -> list[str]:
        picture = Picture(read=lambda: np.zeros((4, 4), np.uint8), identity="same")
        marks = [[(x, 1.0), (2.0, 2.0)]] if marked else ()
        return ImageSet(pictures=[picture], names=["one"], store=Store(tmp_path), marks=marks).contents

    assert contents(1.0) == contents(1.0) != contents(1.5)
    assert contents(1.0, marked=False) == contents(1.5, marked=False) != contents(1.0)


def test_a_compiled_network_is_remembered_apart_from_the_plain_one(tmp_path: Path) -> None:
    def of(*, compiled: bool) -> StoredEncoder:
        asked = EncoderSettings(encoder=("phantom-clip",), compile=compiled)
        return StoredEncoder(spec="phantom-clip", settings=asked, store=Store(tmp_path), device="cpu", dtype="float32")

    plain = of(compiled=False).fingerprint
    assert of(compiled=True).remembered is None
    assert of(compiled=True).fingerprint != plain
    assert of(compiled=False).fingerprint == plain


def test_a_whole_path_is_not_said_while_its_encoder_loads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = str(tmp_path / "mine.py")
    Path(spec).write_text((ROOT / "tests/numpy_encoder.py").read_text())
    asked = EncoderSettings(encoder=(spec,))
    caplog.set_level("INFO", logger="slitlamp")
    StoredEncoder(spec=spec, settings=asked, store=Store(tmp_path / "s"), device="cpu", dtype="float32").load()
    assert "loading mine.py" in caplog.text
    assert str(tmp_path) not in caplog.text

"""Users' own files become encoders, are blamed by line when they fail, and are known again only unchanged."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import encoders
from encoders import EncoderError, UnknownName
from encoders.identity.snapshot import recall, snapshot
from plugins import UserFileError
from tests.paths import ROOT, SHARED

IMAGES = [np.random.default_rng(i).integers(0, 256, (48, 64), dtype=np.uint8) for i in range(2)]
NET = """
import os
from pathlib import Path
import encoders, helper
CARD = encoders.Card(name="net")
FILES = ("net.safetensors",)
INPUT = encoders.Input(size=(24, 24), resize="squash", crop=None, mean=(0.5,) * 3, std=(0.5,) * 3,
                       interpolation="bilinear", backend="pillow")

def load(device):
    import torch
    from safetensors.torch import load_file
    file = Path(__file__).parent / os.environ.get("NET_FILE", "net.safetensors")
    model = helper.build(torch)
    model.load_state_dict(load_file(file))
    return encoders.from_module(CARD, model, INPUT, {"stage.1": "0", "final": "1", "pooled": "3"}, device=device)
"""
HELPER = """
def build(torch):
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(3, 32, 3, 4, 1), nn.Conv2d(32, 64, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A user's folder: the encoder's file, a helper that it imports, a weight file."""
    import torch
    from safetensors.torch import save_file

    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "helper.py").write_text(HELPER)
    space: dict[str, Callable[..., torch.nn.Module]] = {}
    exec(HELPER, space)
    torch.manual_seed(0)
    save_file(space["build"](torch).state_dict(), tmp_path / "net.safetensors")
    return tmp_path / "net.py"


def write(folder: Path, text: str) -> str:
    file = folder / "mine.py"
    file.write_text(text)
    return str(file)


def remembered(spec: str) -> dict[str, object]:
    record = snapshot(spec, encoders.load(spec))
    assert record is not None
    return json.loads(json.dumps(record))


def test_a_module_with_named_sites_is_an_encoder(net: Path) -> None:
    encoder = encoders.load(str(net))
    assert {name: site.grid for name, site in encoder.card.sites.items()} == {
        "stage.1": (6, 6), "final": (3, 3), "pooled": None,
    }  # fmt: skip
    found = encoders.encode(encoder, IMAGES, {"final": ["mean"], "pooled": ["vector"]})
    np.testing.assert_allclose(found["final/mean"], found["pooled/vector"], atol=1e-6)


def test_its_untrained_twin_is_drawn_anew_and_always_the_same(net: Path) -> None:
    trained, twin, same = (encoders.load(s) for s in (str(net), f"random:{net}", f"random:{net}"))
    assert len({trained.fingerprint, twin.fingerprint, same.fingerprint}) == 2
    assert twin.card.sites == trained.card.sites
    a, b = (encoders.encode(e, IMAGES, {"pooled": ["vector"]})["pooled/vector"] for e in (trained, twin))
    assert not np.allclose(a, b)


def test_draws_of_a_file_that_sets_a_seed_differ_and_are_called_by_its_card(net: Path) -> None:
    net.write_text(
        net.read_text().replace("def load(device):", "def load(device):\n    import torch; torch.manual_seed(0)")
    )
    draws = [encoders.load(f"random:{net}{draw}") for draw in ("", "#1", "#2", "#2")]
    assert len({one.fingerprint for one in draws}) == 3
    assert {one.card.name for one in draws} == {f"random:{encoders.load(str(net)).card.name}"}


def test_a_file_whose_path_holds_a_hash_has_twins_too(net: Path, tmp_path: Path) -> None:
    spec = str(shutil.copytree(net.parent, tmp_path / "study #3" / "mine") / net.name)
    first, second = (encoders.load(f"random:{spec}{draw}") for draw in ("", "#1"))
    assert first.fingerprint != second.fingerprint
    assert encoders.card(f"random:{spec}#1").name == f"random:{spec}#1"


def test_a_module_that_cannot_be_drawn_anew_says_which(tmp_path: Path) -> None:
    spec = write(tmp_path, """
import encoders
CARD = encoders.Card(name="gate")
INPUT = encoders.Input(size=(8, 8), resize="squash", crop=None, mean=(0.,) * 3, std=(1.,) * 3,
                       interpolation="bilinear", backend="pillow")
def load(device):
    import torch
    class Gate(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(3, 1, 1))
        def forward(self, x):
            return x * self.scale
    return encoders.from_module(CARD, torch.nn.Sequential(Gate()), INPUT, {"final": "0"}, device=device)
""")  # fmt: skip
    encoders.load(spec)
    with pytest.raises(EncoderError, match=r"Gate \(0\) holds parameters and has no reset_parameters"):
        encoders.load(f"random:{spec}")


def test_a_count_of_parameters_that_is_not_the_networks_is_refused(net: Path) -> None:
    """A count that is right, or is not given, passes."""
    right = sum(p.numel() for p in encoders.load(str(net)).module.parameters())
    text = net.read_text()
    for count in (right, right + 1, 0):
        net.write_text(text.replace('Card(name="net")', f'Card(name="net", parameters={count})'))
        if count == right:
            assert encoders.load(str(net)).card.name == "net"
            continue
        with pytest.raises(UserFileError, match=f"says {count:,} parameters, and its network has {right:,}"):
            encoders.load(str(net))


def test_identity_is_known_again_while_nothing_has_changed(net: Path) -> None:
    record = remembered(str(net))
    encoder = encoders.load(str(net))
    assert recall(record) == (encoder.card, encoder.fingerprint)
    names = {Path(entry["path"]).name for entry in record["files"]}  # pyright: ignore[reportGeneralTypeIssues,reportIndexIssue]
    assert names == {"net.py", "helper.py", "net.safetensors"}


@pytest.mark.parametrize("name", ["net.py", "helper.py", "net.safetensors"])
@pytest.mark.parametrize("kind", ["", "random:"])
def test_one_changed_byte_of_anything_it_read_is_seen(net: Path, name: str, kind: str) -> None:
    record = remembered(kind + str(net))
    file = net.parent / name
    data = bytearray(file.read_bytes())
    if name.endswith(".py"):
        data += b"#"
    else:
        data[-1] ^= 1
    file.write_bytes(data)
    assert recall(record) is None


def test_the_source_is_part_of_the_fingerprint(net: Path) -> None:
    before = encoders.load(str(net)).fingerprint
    (net.parent / "helper.py").write_text(HELPER.replace("3, 4, 1", "3, 4, 1, padding_mode='reflect'"))
    assert encoders.load(str(net)).fingerprint != before
    (net.parent / "helper.py").write_text(HELPER)
    assert encoders.load(str(net)).fingerprint == before


@pytest.mark.parametrize("name", ["net.py", "helper.py", "net.safetensors"])
def test_so_is_what_changes_no_feature(net: Path, name: str) -> None:
    net.write_text(NET.replace("load_file(file)", "load_file(file.with_name('other.safetensors'))"))
    shutil.copy(net.parent / "net.safetensors", net.parent / "other.safetensors")
    before = encoders.load(str(net)).fingerprint
    with (net.parent / name).open("ab") as file:
        file.write(b"#")
    assert encoders.load(str(net)).fingerprint != before


def test_where_it_lies_is_not_part_of_the_fingerprint(net: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for name in ("net.py", "helper.py", "net.safetensors"):
        (other / name).write_bytes((net.parent / name).read_bytes())
    assert encoders.load(str(other / "net.py")).fingerprint == encoders.load(str(net)).fingerprint


def test_what_a_file_reads_beside_its_declared_files_is_seen_when_it_is_loaded_and_not_before(
    net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = remembered(str(net))
    before = encoders.load(str(net)).fingerprint
    other = bytearray((net.parent / "net.safetensors").read_bytes())
    other[-1] ^= 1
    (net.parent / "other.safetensors").write_bytes(other)
    monkeypatch.setenv("NET_FILE", "other.safetensors")
    assert recall(record) is not None  # the user's word: FILES names what the features rest on
    assert encoders.load(str(net)).fingerprint != before


def test_another_version_of_a_library_is_seen(net: Path) -> None:
    record = remembered(str(net))
    assert recall({**record, "versions": {**record["versions"], "torch": "0.1"}}) is None  # pyright: ignore
    assert recall({**record, "features": -1}) is None


def test_another_pinned_commit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from encoders._registry import checkpoints

    record = remembered("pixels")
    assert recall(record) is not None
    entry = checkpoints()["pixels"]
    monkeypatch.setitem(checkpoints(), "pixels", replace(entry, card=replace(entry.card, revision="c" * 40)))
    assert recall(record) is None


@pytest.mark.parametrize("kind", ["", "random:"])
def test_a_file_that_declares_nothing_is_not_remembered(net: Path, kind: str) -> None:
    net.write_text(NET.replace("FILES =", "OTHERS ="))
    assert snapshot(kind + str(net), encoders.load(kind + str(net))) is None
    net.write_text(NET.replace('("net.safetensors",)', "()"))
    assert snapshot(kind + str(net), encoders.load(kind + str(net))) is not None


def test_loading_leaves_the_interpreter_as_it_was(net: Path) -> None:
    path, flag, modules = list(sys.path), sys.dont_write_bytecode, set(sys.modules)
    getter = type(os.environ).__getitem__
    encoders.load(str(net))
    assert (sys.path, sys.dont_write_bytecode) == (path, flag)
    assert type(os.environ).__getitem__ is getter
    assert "helper" not in set(sys.modules) - modules
    assert not (net.parent / "__pycache__").exists()


@pytest.mark.parametrize("name", ["pixels", "lowlevel", "random:phantom-clip"])
def test_registered_identities_are_known_again(name: str) -> None:
    encoder = encoders.load(name)
    record = snapshot(name, encoder)
    assert record is not None
    assert recall(json.loads(json.dumps(record))) == (encoder.card, encoder.fingerprint)


# what goes wrong in a user's file


HEAD = "import encoders\nCARD = encoders.Card(name='mine', sites={'pooled': encoders.Site(width=4)})\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import encoders\n1/0\n", r"mine\.py, line 2: ZeroDivisionError: division by zero"),
        ("def load(:\n", r"mine\.py, line 1: SyntaxError"),
        ("import nothing_like_it\n", r"line 1: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def load(device):\n    pass\n", r"does not define CARD"),
        (HEAD, r"does not define load"),
        ("CARD = 3\ndef load(device):\n    pass\n", r"CARD is a int; it must be an encoders\.Card"),
        (HEAD + "def load(device):\n    return 5\n", r"load\(device\) returned a int; it must return an Encoder"),
        (HEAD + "def load(device):\n    raise RuntimeError('two\\nlines')\n", r"line 4: RuntimeError: two lines"),
    ],
)
def test_a_file_that_fails_is_one_line_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserFileError, match=said) as caught:
        encoders.load(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return {'pooled': np.zeros((len(images), 3))}", r"gives \[1, 3\] at 'pooled' for 1 images; .* \[1, 4\]"),
        ("return {'pooled': np.zeros((1, 4))}", r"gives \[1, 4\] at 'pooled' for 4 images"),
        ("return {'other': 1}", r"declares site 'pooled', which its function does not give \(other\)"),
        ("return 3", r"must return \{site: array\}, not int"),
        ("raise KeyError('eye')", r"mine\.py, line 5: KeyError: 'eye'"),
    ],
)  # fmt: skip
def test_a_function_that_breaks_its_word_is_told(tmp_path: Path, body: str, said: str) -> None:
    spec = write(
        tmp_path,
        HEAD + f"import numpy as np\ndef features(images):\n    {body}\n"
        "def load(device):\n    return encoders.from_function(CARD, features)\n",
    )
    with pytest.raises((EncoderError, UserFileError), match=said):
        encoders.encode(encoders.load(spec), IMAGES, {"pooled": ["vector"]})


def test_a_site_that_is_declared_and_not_given_is_named(net: Path) -> None:
    net.write_text(NET.replace('name="net"', 'name="net", sites={"joint": encoders.Site(width=8)}'))
    with pytest.raises(EncoderError, match="the card declares site 'joint', which is not given"):
        encoders.load(str(net))


def test_a_submodule_that_does_not_exist_gets_the_nearest(net: Path) -> None:
    net.write_text(NET.replace('"stage.1": "0"', '"stage.1": "00"'))
    with pytest.raises(EncoderError, match="no submodule '00'; did you mean '0'"):
        encoders.load(str(net))


def test_a_file_that_is_not_there_and_weights_that_are_not_taken() -> None:
    with pytest.raises(UnknownName, match=r"no encoder file 'nowhere\.py': give the path .* defines CARD and load"):
        encoders.load("nowhere.py")
    with pytest.raises(EncoderError, match="reads its own weights"):
        encoders.load("nowhere.py", weights=ROOT / "README.md")


# what the documentation shows


def examples() -> list[str]:
    text = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.S)


def test_the_documented_numpy_example_works(tmp_path: Path) -> None:
    encoder = encoders.load(write(tmp_path, examples()[1]))
    found = encoders.encode(encoder, IMAGES, {"final": ["mean", "grid3"], "pooled": ["vector"]})
    np.testing.assert_allclose(found["final/mean"], found["pooled/vector"], rtol=1e-5)
    assert found["final/grid3"].shape == (2, 18)


WEIGHTS = "mobilenetv2_035_imagenet_tm.pth"


def test_the_documented_torch_example_is_twenty_lines_and_works(tmp_path: Path) -> None:
    text = examples()[0]
    assert sum(1 for line in text.splitlines() if line.strip()) <= 20
    data = SHARED
    if not (data / "weights").is_dir():
        pytest.skip("the shared MobileNetV2 weights are not on this machine (SLITLAMP_SHARED)")
    (tmp_path / WEIGHTS).symlink_to(data / "weights" / WEIGHTS)
    encoder = encoders.load(write(tmp_path, text))
    assert [site.grid for site in encoder.card.sites.values()] == [
        (112, 112), (56, 56), (28, 28), (14, 14), (7, 7), (7, 7), None,
    ]  # fmt: skip
    assert WEIGHTS in {path.name for path in encoder.files}
    assert "timm" in encoder.libraries
    found = encoders.encode(encoder, IMAGES, {"final": ["mean"], "pooled": ["vector"]})
    np.testing.assert_allclose(found["final/mean"], found["pooled/vector"], atol=1e-5)

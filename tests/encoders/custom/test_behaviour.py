"""Features of two fixed images: the same under load and on any number of threads, another for other weights."""

import threading
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits

import encoders
from encoders import EncoderError, UnknownName
from encoders.identity.behaviour import FLAT, VOLUMES, behaviour
from plugins import UserFunction

INPUT = encoders.Input(size=(64, 64), resize="squash", crop=None, mean=(0.5,) * 3, std=(0.5,) * 3,
                       interpolation="bilinear", backend="pillow")  # fmt: skip


def network(scale: float = 1.0) -> encoders.Encoder:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 128, 5, 2)
    net = torch.nn.Sequential(conv, torch.nn.GELU(), torch.nn.Conv2d(128, 64, 3, 2), torch.nn.AdaptiveAvgPool2d(1))
    conv.weight.data *= scale
    return encoders.from_module(encoders.Card(name="net"), net, INPUT, {"stage.1": "0", "final": "2", "pooled": "3"})


def test_it_is_the_same_on_any_number_of_threads_and_under_load() -> None:
    before = torch.get_num_threads()
    encoder, stop = network(), threading.Event()

    def load() -> None:
        while not stop.is_set():
            torch.mm(torch.ones(300, 300), torch.ones(300, 300))

    busy = [threading.Thread(target=load) for _ in range(2)]
    for thread in busy:
        thread.start()
    try:
        found = set()
        for threads in (1, 2, 4) * 3:
            torch.set_num_threads(threads)
            found.add(behaviour(encoder))
            assert torch.get_num_threads() == threads
    finally:
        stop.set()
        for thread in busy:
            thread.join()
        torch.set_num_threads(before)
    assert len(found) == 1


def test_other_weights_are_another_behaviour() -> None:
    assert behaviour(network()) == behaviour(network())
    assert behaviour(network(1.001)) != behaviour(network())


def function(body: str, tmp_path: Path, card: str = "width=1") -> encoders.Encoder:
    path = tmp_path / "mine.py"
    path.write_text(
        f"import encoders, numpy as np\nCARD = encoders.Card(name='mine', sites={{'pooled': encoders.Site({card})}})\n"
        f"def features(images):\n    {body}\n"
        "def load(device):\n    return encoders.from_function(CARD, features)\n"
    )
    return encoders.load(str(path))


def test_every_site_and_both_images_count(tmp_path: Path) -> None:
    values = ("0.0", "i.ndim == 2", "i.ndim == 3", "np.nan", "1e30", "2e30", "i.max(initial=0)")
    bodies = [f"return {{'pooled': np.array([[{value}] for i in images])}}" for value in values]
    found = [behaviour(function(body, tmp_path)) for body in bodies]
    assert len(set(found)) == len(found)


def test_an_encoder_of_volumes_is_shown_volumes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import encoders, numpy as np\n"
        "CARD = encoders.Card(name='mine', volumes=True, sites={'pooled': encoders.Site(width=1)})\nSEEN = []\n"
        "def features(images):\n    SEEN.append(images[0].shape)\n"
        "    return {'pooled': np.array([[i.mean()] for i in images])}\n"
        "def load(device):\n    return encoders.from_function(CARD, features)\n"
    )
    encoder = encoders.load(str(path))
    assert isinstance(encoder.forward, UserFunction)
    assert tuple(encoder.forward.file.module.SEEN[:2]) == VOLUMES


def test_an_encoder_that_cannot_read_one_of_the_two_has_an_identity_and_one_that_reads_none_is_refused(
    tmp_path: Path,
) -> None:
    grey = function("assert images[0].ndim == 2; return {'pooled': np.ones((len(images), 1))}", tmp_path)
    other = function("assert images[0].ndim == 2; return {'pooled': np.zeros((len(images), 1))}", tmp_path)
    assert behaviour(grey) != behaviour(other)
    with pytest.raises(Exception, match=r"mine\.py, line 4: ZeroDivisionError"):
        function("1/0", tmp_path)
    with pytest.raises(EncoderError, match=r"gives \[1, 2\] at 'pooled'"):
        function("return {'pooled': np.ones((1, 2))}", tmp_path)
    assert [len(shape) for shape in FLAT] == [2, 3]


POOLS = {
    "torch": "int(torch.__config__.parallel_info().partition('mkl_get_max_threads() : ')[2].split()[0] or 0)",
    "numpy": "max(pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas')",
}


@pytest.mark.parametrize("pool", POOLS)
def test_it_is_computed_on_one_thread(pool: str, tmp_path: Path) -> None:
    if pool == "torch" and not torch.backends.mkl.is_available():
        pytest.skip("this torch has no MKL")
    value = f"np.array([[{POOLS[pool]}] for _ in images])"
    text = f"import torch; from threadpoolctl import threadpool_info; return {{'pooled': {value}}}"
    encoder = function(text, tmp_path)
    before, found = torch.get_num_threads(), set()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        with threadpool_limits(threads, user_api="blas"):
            found.add(behaviour(encoder))
    torch.set_num_threads(before)
    assert len(found) == 1


def test_a_twin_without_torch_is_still_none(tmp_path: Path) -> None:
    function("return {'pooled': np.ones((len(images), 1))}", tmp_path)
    with pytest.raises(UnknownName, match="computes without torch"):
        encoders.load(f"random:{tmp_path / 'mine.py'}")

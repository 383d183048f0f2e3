"""A compiled network gives the features of the plain one, at every site, under a fingerprint of its own."""

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import encoders
from encoders import Encoder, EncoderError
from encoders.extraction.compiled import compiled, units_of
from encoders.extraction.precision import lowered

SITES = {"block.0": "blocks.0", "inner": "blocks.1.1", "final": "norm"}
WANTED = {name: encoders.Site(width=12, grid=(4, 4)).readouts for name in SITES}


class Tower(torch.nn.Module):
    """Patches of 4 x 4 pixels, three blocks, a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 12, 4, 4)
        block = lambda: (torch.nn.Linear(12, 12), torch.nn.GELU(), torch.nn.Linear(12, 12))  # noqa: E731
        self.blocks = torch.nn.Sequential(*(torch.nn.Sequential(*block()) for _ in range(3)))
        self.norm = torch.nn.LayerNorm(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = x + block(x)
        return self.norm(x)


def tower() -> Encoder:
    torch.manual_seed(0)
    card = encoders.Card(name="tower", sites={n: encoders.Site(width=12, grid=(4, 4)) for n in SITES})
    pixels: Callable[[np.ndarray], Any] = lambda image: torch.from_numpy(np.stack([image] * 3)).float() / 255  # noqa: E731
    return encoders.from_module(card, Tower(), pixels, SITES, example=images(1)[0])


def images(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(count).integers(0, 256, (count, 16, 16), dtype=np.uint8))


class Backend:
    """What torch hands over to be compiled, run as it is; `bent` makes all that it gives another."""

    def __init__(self, *, bent: bool = False) -> None:
        self.graphs, self.calls, self.bent = 0, 0, bent

    def __call__(self, graph: Any, _inputs: Any) -> Callable[..., Any]:
        self.graphs += 1

        def run(*values: Any) -> Any:
            self.calls += 1
            found = graph.forward(*values)
            return tuple(one.roll(1, -1) for one in found) if self.bent else found

        return run


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


def test_the_largest_modules_without_a_site_inside_are_compiled() -> None:
    module: Any = tower().module
    read = {id(module.get_submodule(name)) for name in SITES.values()}
    found = {name for name, one in module.named_modules() if any(one is unit for unit in units_of(module, read))}
    assert found == {"patches", "blocks.0", "blocks.1.0", "blocks.1.2", "blocks.2", "norm"}
    assert list(units_of(module, set())) == [module]


def test_every_site_comes_out_of_the_compiled_network_and_is_equal() -> None:
    plain, backend = tower(), Backend()
    due = encoders.encode(plain, images(3), WANTED)
    made = compiled(tower(), backend)
    first = encoders.encode(made, images(3), WANTED)
    calls = backend.calls
    again = encoders.encode(made, images(3), WANTED)
    assert first.keys() == again.keys() == due.keys()
    assert calls == 6  # each unit once
    assert backend.calls == 2 * calls
    for name, x in due.items():
        np.testing.assert_allclose(first[name], x, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(again[name], first[name])
    other = encoders.encode(made, images(3)[::-1], WANTED)  # hooks of this call, not of the first
    np.testing.assert_allclose(other["inner/mean"], due["inner/mean"][::-1], rtol=0, atol=1e-6)


def test_features_are_kept_apart_from_those_of_the_plain_network() -> None:
    plain = tower()
    assert len({plain.fingerprint, compiled(plain, "eager").fingerprint, compiled(plain, "aot_eager").fingerprint}) == 3
    assert compiled(tower(), "eager").fingerprint == compiled(tower(), "eager").fingerprint


def test_a_compiled_network_that_departs_is_refused_and_the_plain_one_is_left_as_it_was() -> None:
    encoder = tower()
    due = encoders.encode(encoder, images(2), WANTED)
    with pytest.raises(EncoderError, match=r"tower compiled departs from the plain network at .*leave --compile out"):
        encoders.encode(compiled(encoder, Backend(bent=True)), images(2), WANTED)
    np.testing.assert_array_equal(encoders.encode(encoder, images(2), WANTED)["final/mean"], due["final/mean"])


def test_with_gradients_the_plain_network_is_asked() -> None:
    backend = Backend()
    made = compiled(tower(), backend)
    made.forward(torch.zeros(1, 3, 16, 16), ["final"], grad=True)
    assert backend.calls == 0


def test_half_precision_is_compiled_as_it_is_computed() -> None:
    backend = Backend()
    low = lowered(tower(), "bfloat16")
    made = compiled(low, backend)
    found = encoders.encode(made, images(2), WANTED)
    due = encoders.encode(lowered(tower(), "bfloat16"), images(2), WANTED)
    np.testing.assert_allclose(found["final/mean"], due["final/mean"], rtol=0, atol=1e-6)
    assert backend.calls
    assert made.dtype == "bfloat16"
    assert made.fingerprint != compiled(tower(), backend).fingerprint


def test_what_cannot_be_compiled_whole_is_an_error_of_one_line() -> None:
    encoder = tower()
    module: Any = encoder.module
    breaks = module.blocks[2].forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return breaks(x)

    module.blocks[2].forward = forward
    with pytest.raises(EncoderError, match=r"^tower cannot be compiled \(Unsupported: .*leave --compile out$") as found:
        encoders.encode(compiled(encoder, "eager"), images(2), WANTED)
    assert "\n" not in str(found.value)


def test_a_formula_cannot_be_compiled() -> None:
    card = encoders.Card(name="mean", sites={"pooled": encoders.Site(width=1)})
    formula = encoders.from_function(card, lambda some: {"pooled": np.stack([[one.mean()] for one in some])})
    with pytest.raises(EncoderError, match="mean computes without torch: there is nothing to compile"):
        compiled(formula)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor_gives_the_same_features_to_rounding() -> None:
    due = encoders.encode(tower(), images(2), {"final": WANTED["final"]})
    found = encoders.encode(compiled(tower()), images(2), {"final": WANTED["final"]})
    np.testing.assert_allclose(found["final/mean"], due["final/mean"], rtol=0, atol=1e-5)

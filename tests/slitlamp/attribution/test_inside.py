"""The inside of encoders as methods ask for it: values joined, and what is refused names what would do."""

import pytest

from encoders import EncoderError
from probes.attribution import Attention, Layer, load, names
from slitlamp.attribution.inside import attention_of, layers, without_attention
from tests.encoders.attention.towers import tower


def test_what_encoders_give_is_what_methods_ask_for() -> None:
    encoder = tower("dinov2-b14-reg")
    found = attention_of(encoder, "pooled", "vector")
    assert isinstance(found, Attention)
    assert (found.prefix, found.grid, found.head, found.numbers) == (5, (4, 4), False, 3 * 2 * 21**2)
    assert all(isinstance(one, Layer) and one.block for one in layers(encoder, "pooled"))


def test_what_has_no_attention_is_told_the_methods_that_need_none() -> None:
    needs = {"legrad", "relevance", "rollout"}
    assert needs <= set(names())
    assert set(without_attention(layered=True)) == set(names()) - needs
    assert "grad-cam" not in without_attention(layered=False)
    for name, site, readout, message in (
        ("random:timm:resnet18", "pooled", "vector", "grad-cam, .*need none$"),
        ("pixels", "final", "mean", "`experiments.pairs explain` leaves regions out of the images of any encoder$"),
    ):
        with pytest.raises(EncoderError, match=f"^{name} .*; .*{message}") as caught:
            attention_of(tower(name), site, readout)
        assert not any(method in str(caught.value) for method in needs)
        assert "\n" not in str(caught.value)
    assert all(load(method).lacks for method in names())

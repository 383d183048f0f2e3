"""What a command about pairs would take, before it starts: the images at one point of each encoder."""

from typing import Any

import cache
from encoders import EncoderError
from plugins import UserFileError
from slitlamp.ablation.priced import plan_result, price_of
from slitlamp.encoding.encoder import named
from slitlamp.errors import said_of
from slitlamp.pairs.mine import at_reference, long_captioned
from slitlamp.pairs.settings import MineSettings
from slitlamp.pairs.spaces import chosen_point, open_images, stored
from slitlamp.reports.result import CommandResult
from slitlamp.settings import Settings, portable


def priced(settings: Settings, own: Any, command: str, experiment: str, unpriced: str) -> CommandResult:
    """A row for each encoder, and for each that it is held against; no hub is asked and nothing is encoded."""
    store, settings = cache.Store(cache.default_root()), settings.but(offline=True)
    images = open_images(settings, store)
    asked = [(spec, settings) for spec in named(settings.encoder)]
    if isinstance(own, MineSettings):
        images = long_captioned(images, own)
        asked = [*asked[:1], *((spec, at_reference(settings, own)) for spec in own.reference)]
    rows, failed = [], []
    for spec, at in asked:
        try:
            encoder = stored(spec, at, store)
            point = chosen_point(encoder, next(iter(at.encoder.site), None), next(iter(at.encoder.readout), None))
        except (EncoderError, UserFileError) as error:
            failed.append(said_of(portable(spec), error))
            continue
        cost = price_of(encoder, [("", images.pictures, [point])], images.source.policy)
        rows.append({"encoder": encoder.label, "point": f"{point[0]}/{point[1]}", "images": len(images)} | cost)
    return plan_result(experiment, command, rows, failed, unpriced)

"""Regions of phantoms: named parts of a picture where the evidence for an answer lies, or a shortcut to it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Region:
    """A named part of a phantom's picture; a `shortcut` gives answers away, or may, without the anatomy asked about."""

    title: str
    shortcut: bool = False


REGIONS: Mapping[str, Region] = {
    "heart": Region(title="the heart with the roots of the great vessels"),
    "aortic arch": Region(title="the arch of the aorta"),
    "gastric bubble": Region(title="gas in the stomach, below the left diaphragm"),
    "lungs": Region(title="air in the lungs that nothing displaces"),
    "ribs": Region(title="ribs, behind and in front"),
    "lead letter": Region(title="lead letters R and L", shortcut=True),
    "frame border": Region(title="shadow of the collimator, or the film's unexposed rim", shortcut=True),
    "iliac wings": Region(title="the wings of the iliac bones"),
    "pubis and ischium": Region(title="pubic bones and ischia around the obturator foramina"),
    "femora": Region(title="heads, necks and shafts of the femora"),
    "sacrum": Region(title="sacrum and coccyx"),
    "lumbar spine": Region(title="the lowest lumbar vertebrae"),
    "bladder": Region(title="the bladder"),
    "vessels": Region(title="aorta, vena cava, mesenteric and hepatic vessels, filled with contrast medium or not"),
    "kidneys": Region(title="both kidneys"),
    "liver": Region(title="the liver without its veins"),
    "spleen": Region(title="the spleen"),
    "doubles": Region(title="doubles of all that enhances, in stomach and bowel", shortcut=True),
    "marks": Region(title="all coloured marks, rings included"),
    "nearest mark": Region(title="the mark that is the answer"),
    "red mark": Region(title="the red mark"),
    "blue marks": Region(title="the blue marks"),
    "mark": Region(title="the coloured mark, ring included"),
    "around the marks": Region(title="what surrounds the marks, from one to two radii", shortcut=True),
    "tissue under the mark": Region(title="the layer on which the mark lies, as far as the mark leaves it bare"),
    "nuclei": Region(title="all nuclei"),
    "teeth": Region(title="all teeth"),
    "third molars": Region(title="the third molars"),
    "skin": Region(title="the skin, from which depth is counted"),
}

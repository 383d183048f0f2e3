"""The control `order`: the place of each item in its list and in its folder, in the shape of an encoder's features."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

import encoders
from probes.stats.credit import ORDER
from probes.stats.order import DEGREE, order_features
from slitlamp.keys import digest
from slitlamp.questions import Question


@dataclass(frozen=True, kw_only=True)
class ListOrder:
    """A control that looks at no image; it stands where an encoder does, and where a table of its features does."""

    places: tuple[np.ndarray, ...]  # by row of the list, and by file of the folder where that is another order
    spec: str = ORDER
    label: str = ORDER
    source: str = ORDER
    device: str = "cpu"
    dtype: str = "float32"
    weights: None = None
    encoded: int = 0

    @cached_property
    def card(self) -> encoders.Card:
        """Its one site, a vector."""
        sites = {"pooled": encoders.Site(width=DEGREE * len(self.places))}
        return encoders.Card(name=ORDER, licence="Apache-2.0", parameters=0, sites=sites, volumes=True)

    @cached_property
    def digest(self) -> str:
        """What its features are determined by."""
        return digest([ORDER, DEGREE, *(place.tolist() for place in self.places)])

    @property
    def fingerprint(self) -> str:
        """The same, as of an encoder."""
        return self.digest

    @property
    def space(self) -> "ListOrder":
        """The same, as of a table of features."""
        return self

    def read(self, name: str) -> np.ndarray:
        """Features [n, 12 for each list] float32."""
        del name
        return order_features(self.places).astype(np.float32)


def order_of(question: Question) -> ListOrder | None:
    """The control of a question; None where copies of one image have all answers, of which no place tells anything."""
    if question.copies is not None:
        return None
    rows = {row.id: k for k, row in enumerate(question.source.rows)}
    files = {row.id: row.in_folder for row in question.source.rows}
    known = all(one in rows for one in question.ids)  # a task of the user's own may make other items
    place = np.array([rows[one] if known else k for k, one in enumerate(question.ids)], dtype=float)
    in_folder = [files.get(one) for one in question.ids]
    if None in in_folder:
        return ListOrder(places=(place,))
    other = np.array(in_folder, dtype=float)
    same = np.array_equal(np.unique(place, return_inverse=True)[1], np.unique(other, return_inverse=True)[1])
    return ListOrder(places=(place,) if same else (place, other))

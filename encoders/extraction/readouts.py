"""The readouts: each a way to make one vector of a site's tokens. The matrices that do it are in `pooling`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Readout:
    """A readout, under the name by which it is asked for.

    `parts` is how many token-wide vectors it concatenates over a flat grid, 0 where site or image decides (learnt
    queries, marks); `slice_parts` how many follow where the grid has a depth. `keeps_layout` says that it keeps
    what a mean over tokens may lose, `needs_marks` that the images must carry marks. `several` says that what it reads
    is a plural in a sentence.
    """

    name: str
    title: str
    parts: int
    slice_parts: int = 0
    keeps_layout: bool = False
    needs_marks: bool = False
    several: bool = False


CLS = Readout(name="cls", title="CLS token", parts=1)
MEAN = Readout(name="mean", title="mean of patches", parts=1)
HALVES = Readout(name="halves", title="halves", parts=4, slice_parts=2, keeps_layout=True, several=True)
GRID3 = Readout(name="grid3", title="3 × 3 regions", parts=9, slice_parts=3, keeps_layout=True, several=True)
AT_MARK = Readout(name="at-mark", title="at the marks", parts=0, keeps_layout=True, needs_marks=True, several=True)
QUERIES = Readout(name="queries", title="queries", parts=0, keeps_layout=True, several=True)
VECTOR = Readout(name="vector", title="vector", parts=1)
LAST = Readout(name="last", title="last token of the prompt", parts=1)

READOUTS = {
    one.name: one for one in (CLS, MEAN, HALVES, GRID3, AT_MARK, QUERIES, VECTOR, LAST)
}  # in the order of tables

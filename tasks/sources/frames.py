"""The frames of a source, each with its file; those of plain files are made when they are asked for."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tasks.images.content import Digested
from tasks.images.decode import DecodePolicy, Frame
from tasks.sources.files import Files, Listed
from tasks.sources.headers import Head, Headers, Plain
from tasks.sources.made import Made
from tasks.sources.remote import Fetched


@dataclass(frozen=True, kw_only=True)
class SourceFrame:
    """A frame of a source with the file that holds it; the volume of a DICOM series stands for its slices, `parts`."""

    file: Listed
    frame: Frame
    content: Digested
    parts: tuple["SourceFrame", ...] = ()


class SourceFrames(Made[SourceFrame]):
    """Frames of files: `rows` [n] are the places of their files in the listing, `heads` [n] what their headers say."""

    def __init__(self, headers: Headers, policy: DecodePolicy, rows: Sequence[int], heads: Sequence[Head]) -> None:
        self.headers, self.policy, self.rows, self.heads = headers, policy, rows, heads
        super().__init__(len(rows), self._frame)

    def _frame(self, k: int) -> SourceFrame:
        row, head = self.rows[k], self.heads[k]
        file = self.headers.files[row]
        if isinstance(head, Plain):
            assert isinstance(file.path, Path | Fetched)
            head = head.frame(file.path, self.policy)
        return SourceFrame(file=file, frame=head, content=self.headers.content(row))

    @cached_property
    def in_folders(self) -> Sequence[int]:
        """The place of each frame's file among those of its folder, of files in natural order."""
        assert isinstance(self.headers.files, Files)
        names, held = self.headers.files.names, dict[str, int]()
        places, last = array("l"), -1
        for row in self.rows:
            folder = names[row].rpartition("/")[0]
            held[folder] = held.get(folder, -1) + (row != last)
            places.append(held[folder])
            last = row
        return places


def heads_of(frames: Sequence[SourceFrame]) -> Sequence[Head]:
    """What headers say of frames, for which none is made."""
    return frames.heads if isinstance(frames, SourceFrames) else [one.frame for one in frames]


def listing_of(frames: Sequence[SourceFrame]) -> Files | None:
    """The listing of a folder that frames are of; None where a table, or anything else, named their files."""
    files = frames.headers.files if isinstance(frames, SourceFrames) else None
    return files if isinstance(files, Files) else None

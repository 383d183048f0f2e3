"""The rows of a listed folder as columns: a row, its picture or its id is made when it is asked for."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from tasks._base import Picture, Row
from tasks.images.content import identity_of, keyed, picture_of
from tasks.images.decode import DecodePolicy, digest
from tasks.sources.files import Files
from tasks.sources.frames import SourceFrames
from tasks.sources.groups import group_id
from tasks.sources.headers import Plain
from tasks.sources.made import Made


def item_id(name: str, number: int = 1, occurrence: int = 0) -> str:
    """The id of an image: 16 hex digits of a sha256 over its name inside the source and its frame.

    It does not depend on where the source lies, and it cannot be read back into the name.
    """
    return digest("item", name, str(number), str(occurrence))[:16]


def columns_of(facts: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """The columns of a row: what the header says, and what the table or folder does."""
    fixed = {"exif_orientation": facts["exif_orientation"]} if "exif_orientation" in facts else {}
    return {**facts, **told, **fixed}


class Rows(Made[Row]):
    """The rows of the frames of a listed folder, those at the places `chosen` alone where it is given.

    `group_of` says what the frame at a place is grouped by. A row that is asked for twice is made twice, equal but for
    its picture; what is found out about the bytes of its file is kept.
    """

    def __init__(
        self,
        found: SourceFrames,
        group_of: Callable[[int], str],
        policy: DecodePolicy,
        chosen: Sequence[int] | None = None,
    ) -> None:
        assert isinstance(found.headers.files, Files)
        self._found, self._files, self._policy, self._group_of = found, found.headers.files, policy, group_of
        self._places = range(len(found)) if chosen is None else chosen
        super().__init__(len(self._places), self._row)

    def take(self, chosen: Sequence[int]) -> "Rows":
        """Those rows alone."""
        return Rows(self._found, self._group_of, self._policy, [self._places[i] for i in chosen])

    @property
    def ids(self) -> Sequence[str]:
        """The id of each row."""
        return Made(len(self), self._id)

    @property
    def groups(self) -> Sequence[str]:
        """The group of each row."""
        return Made(len(self), self._group)

    @property
    def pictures(self) -> "Pictures":
        """The picture of each row."""
        return Pictures(self)

    def picture(self, i: int) -> Picture:
        """The picture of a row."""
        k = self._places[i]
        row, head = self._found.rows[k], self._found.heads[k]
        read = head.reader(self._files.path(row), self._policy) if isinstance(head, Plain) else head.read
        content = self._found.headers.content(row)
        return picture_of(read, head.number, head.revision, content, self._policy, self._files.names[row])

    def unread(self) -> list[int]:
        """The rows of which the bytes have to be read for their identity."""
        known, rows = self._found.headers.digests, self._found.rows
        return [i for i, k in enumerate(self._places) if not known.known(rows[k])]

    def identities(self) -> Iterator[str | None]:
        """The identity of each picture; bytes are read where that is needed."""
        headers, rows, heads, policy = self._found.headers, self._found.rows, self._found.heads, keyed(self._policy)
        for k in self._places:
            known = headers.digests.get(rows[k]) or headers.content(rows[k]).digest()
            yield None if known is None else identity_of(known, policy, heads[k].number, heads[k].revision)

    def _name(self, i: int) -> str:
        return self._files.names[self._found.rows[self._places[i]]]

    def _id(self, i: int) -> str:
        return item_id(self._name(i), self._found.heads[self._places[i]].number)

    def _group(self, i: int) -> str:
        return group_id(self._group_of(self._places[i]))

    def _columns(self, i: int) -> dict[str, str]:
        return columns_of(self._found.heads[self._places[i]].columns, self._files.columns(self._name(i)))

    def _row(self, i: int) -> Row:
        return Row(
            id=self._id(i), group=self._group(i), picture=self.picture(i), columns=self._columns(i),
            in_folder=self._found.in_folders[self._places[i]],
        )  # fmt: skip


class Pictures(Made[Picture]):
    """The pictures of rows, which tell their identities all at once."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(len(rows), rows.picture)
        self.identities = rows.identities


def identities(pictures: Sequence[Picture]) -> Iterator[str | None]:
    """The identity of each picture; no picture is made for it where many lie in a folder."""
    return pictures.identities() if isinstance(pictures, Pictures) else (one.identity for one in pictures)


def pictures_of(rows: Sequence[Row]) -> Sequence[Picture]:
    """The picture of each row."""
    return rows.pictures if isinstance(rows, Rows) else [row.picture for row in rows]


def ids_of(rows: Sequence[Row]) -> Sequence[str]:
    """The id of each row."""
    return rows.ids if isinstance(rows, Rows) else [row.id for row in rows]

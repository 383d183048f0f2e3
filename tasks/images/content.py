"""Identities of pictures: digests of a file's bytes, the decode policy and the frame, before anything is decoded."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Protocol, runtime_checkable

import numpy as np

from tasks._base import DataError, Picture, Undecided
from tasks.images.decode import DecodePolicy, Frame, digest
from tasks.images.kinds import File


@runtime_checkable
class Digested(Protocol):
    """Bytes of which the digest is known, or can be found out."""

    def digest(self) -> str | None:
        """Hex digest, or None where they cannot be read."""
        ...


class Content:
    """The sha256 of a file's bytes, computed once and shared by all its frames; `known` where it is known already."""

    def __init__(self, path: File, known: str | None = None) -> None:
        self.path = path
        self.known = known

    def digest(self) -> str | None:
        """Hex digest, or None where the file cannot be read (reading it then says why)."""
        if self.known is None:
            try:
                with self.path.open("rb") as file:
                    self.known = hashlib.file_digest(file, "sha256").hexdigest()
            except (OSError, DataError):
                return None
        return self.known


class Stack:
    """The digest of several frames as one volume: their files' bytes and their numbers, in order."""

    def __init__(self, parts: Sequence[tuple[Digested, int]]) -> None:
        self.parts = tuple(parts)

    def digest(self) -> str | None:
        """Hex digest, or None where a file cannot be read."""
        found = [content.digest() for content, _ in self.parts]
        known = [d for d in found if d is not None]
        numbers = [str(number) for _, number in self.parts]
        return digest("stack", *known, *numbers) if len(known) == len(found) else None


def identity(content: Digested, policy: str, number: int, revision: int = 1) -> str | None:
    """What determines the pixels of one frame: the file's bytes, the policy, the frame's number and revision."""
    found = content.digest()
    return None if found is None else identity_of(found, policy, number, revision)


def identity_of(found: str, policy: str, number: int, revision: int) -> str:
    """The `identity` of a frame of a file whose bytes have that hex digest."""
    later = [f"revision {revision}"] if revision > 1 else []
    return digest(found, policy, str(number), *later)


def picture(frame: Frame, content: Digested, policy: DecodePolicy, name: str) -> Picture:
    """A picture that decodes the frame when it is read; its errors begin with `name`."""
    return picture_of(frame.read, frame.number, frame.revision, content, policy, name)


def picture_of(
    read: Callable[[], np.ndarray], number: int, revision: int, content: Digested, policy: DecodePolicy, name: str
) -> Picture:
    """The `picture` of a frame that reads so, and has that number and revision."""
    known = partial(identity, content, keyed(policy), number, revision)
    return Picture(read=partial(_named, name, read), identity=known)


@cache
def keyed(policy: DecodePolicy) -> str:
    """The decode policy as it is part of an identity."""
    return json.dumps(policy.policy, sort_keys=True)


def _named(name: str, read: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return read()
    except Undecided:
        raise
    except DataError as error:
        raise DataError(f"{name}: {error}") from error

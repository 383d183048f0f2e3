"""Long sequences whose members are made when they are asked for, and again when they are asked for again."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class Made(Sequence[T], Generic[T]):
    """A sequence of so many things, each made by a function of its place whenever it is asked for."""

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, k: int) -> T: ...
    @overload
    def __getitem__(self, k: slice) -> tuple[T, ...]: ...
    def __getitem__(self, k: int | slice) -> T | tuple[T, ...]:
        """The thing at a place, or those of a slice."""
        if isinstance(k, slice):
            return tuple(self._make(i) for i in range(*k.indices(self._count)))
        if not -self._count <= k < self._count:
            raise IndexError(f"place {k} of {self._count}")
        return self._make(k % self._count)

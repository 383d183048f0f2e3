"""What is known already: the feature store. A name is loaded when it is first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cache.atomic import write_atomically
    from cache.errors import StoreError
    from cache.keys import content_digest
    from cache.memo import Memo
    from cache.space import Space
    from cache.store import Store, default_root
    from cache.writer import Writer

__all__ = ["Memo", "Space", "Store", "StoreError", "Writer", "content_digest", "default_root", "write_atomically"]

_HOMES = {
    "Memo": "cache.memo",
    "Space": "cache.space",
    "Store": "cache.store",
    "StoreError": "cache.errors",
    "Writer": "cache.writer",
    "content_digest": "cache.keys",
    "default_root": "cache.store",
    "write_atomically": "cache.atomic",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

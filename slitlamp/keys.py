"""Digests that name what a number rests on."""

import hashlib
import json
from typing import Any


def digest(material: Any) -> str:
    """A sha256 over the canonical JSON of `material`."""
    text = json.dumps(material, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()

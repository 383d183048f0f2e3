r"""What a text must hold so that a pattern can match it, told from the pattern: most phrases are in no reply at all.

Of each alternative one word that it always has is taken, by its first three letters, or one sign. A text without any of
them needs no search, which is slow where a pattern has a hundred alternatives.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

LETTERS = 3  # of a word that are compared
COMMON = frozenset(
    ("a", "an", "and", "are", "as", "be", "i", "in", "is", "it", "no", "not", "of", "on", "one", "or", "that", "the",
     "this", "to")
)  # fmt: skip
_UNIT = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_COUNT = re.compile(r"(?:[?*+]|\{\d*,?\d*\})\??")


@dataclass(frozen=True, kw_only=True)
class Needles:
    """First letters of words, and signs, of which a text has one or more where a pattern matches it."""

    words: frozenset[str]
    signs: frozenset[str]

    def __or__(self, other: "Needles") -> "Needles":
        """Those of either pattern."""
        return Needles(words=self.words | other.words, signs=self.signs | other.signs)

    def in_text(self, text: str) -> bool:
        """Whether the text has one of them."""
        words, signs = _held(text)
        return not (self.words.isdisjoint(words) and self.signs.isdisjoint(signs))


@functools.lru_cache(maxsize=8)
def _held(text: str) -> tuple[set[str], set[str]]:
    plain = text if text.isascii() else text.replace("İ", "i").replace("ı", "i").replace("ſ", "s")
    plain = plain.lower()
    return {word[:LETTERS] for word in re.findall(r"\w+", plain)}, set(plain)


def alternatives(pattern: str) -> list[str]:
    r"""What stands between the bars of a pattern that are in no bracket.

    >>> alternatives(r"a|(?:b|c)[|]|\|")
    ['a', '(?:b|c)[|]', '\\|']
    """
    found, depth = [""], 0
    for unit in _UNIT.findall(pattern):
        depth += (unit == "(") - (unit == ")")
        if unit == "|" and not depth:
            found.append("")
        else:
            found[-1] += unit
    return found


def needles(pattern: str) -> Needles | None:
    r"""Those of a pattern that ignores case; None where an alternative has none that can be told.

    >>> sorted(needles(r"\bor rather\b|\b(?:is|are)\s+un(?:clear|known)|n['’]t\b").words)
    ['rat', 'unc', 'unk']
    """
    found = Needles(words=frozenset(), signs=frozenset())
    for one in alternatives(pattern):
        own = _of_one(one)
        if own is None:
            return None
        found |= own
    return found


def _units(pattern: str) -> Iterator[tuple[str, str, str]]:
    """Each unit of an alternative (a letter, a class, a group) with its count and what stands behind both."""
    at = 0
    while at < len(pattern):
        unit = _UNIT.match(pattern, at)
        assert unit is not None
        end = unit.end()
        if unit[0] == "(":
            depth = 1
            while depth:
                inner = _UNIT.match(pattern, end)
                assert inner is not None
                depth += (inner[0] == "(") - (inner[0] == ")")
                end = inner.end()
        count = _COUNT.match(pattern, end)
        behind = end if count is None else count.end()
        yield pattern[at:end], "" if count is None else count[0], pattern[behind:]
        at = behind


def _may_be_absent(count: str) -> bool:
    return count[:1] in ("?", "*") or count.startswith(("{0", "{,"))


def _of_one(pattern: str) -> Needles | None:
    """The needles of one alternative: the rarest of the words that it always has, else a sign."""
    best: frozenset[str] | None = None
    signs: Needles | None = None
    word_before = False  # whether a word begins here, if a letter does
    for unit, count, behind in _units(pattern):
        if word_before or unit == r"\b":
            words = _begins(behind if unit == r"\b" else unit + count + behind)
            if words and (best is None or len(words & COMMON) < len(best & COMMON)):
                best = frozenset(words)
        if unit.startswith("(?:") and not _may_be_absent(count) and best is None and signs is None:
            inner = needles(unit[3:-1])
            if inner is not None:
                signs = inner
        if _may_be_absent(count) or unit.startswith(("(?=", "(?!", "(?<")):
            word_before = word_before and unit.startswith("(?")  # a place alone
            continue
        word_before = unit in (r"\s", " ")
        chars = _chars(unit)
        if signs is None and chars and not any(c.isspace() or (c.isascii() and c.isalnum()) for c in chars):
            signs = Needles(words=frozenset(), signs=frozenset(c.lower() for c in chars))
    return signs if best is None else Needles(words=best, signs=frozenset())


def _chars(unit: str) -> str | None:
    """The characters that a unit may be; None where they are not listed."""
    if len(unit) == 1:
        return None if unit in ".^$" else unit
    if unit.startswith("["):
        inner = unit[1:-1]
        return None if inner.startswith("^") or "\\" in inner or re.search(r".-.", inner) else inner
    if unit.startswith("\\") and not unit[1].isalnum():
        return unit[1]
    return None


def _begins(pattern: str, have: str = "") -> set[str] | None:
    """How the word may begin, or be, with which a pattern begins; None where that is not told."""
    if len(have) >= LETTERS:
        return {have[:LETTERS]}
    unit, count, behind = next(_units(pattern), ("", "", ""))
    if not unit:
        return None  # the word may go on
    absent = _may_be_absent(count)
    if unit.startswith(("(?=", "(?!", "(?<")):
        return _begins(behind, have)
    found: list[set[str] | None]
    if unit.startswith("("):
        inner = unit[3:-1] if unit.startswith("(?:") else unit[1:-1]
        found = [_begins(one + behind, have) for one in alternatives(inner)]
    elif unit in (r"\b", r"\s", r"\W", " "):
        found = [{have} if have else None]
    else:
        chars = _chars(unit)
        found = [None] if chars is None or count[:1] in ("*", "+", "{") else [
            _begins(behind, have + c.lower()) if c.isalnum() or c == "_" else ({have} if have else None) for c in chars
        ]  # fmt: skip
    if absent:
        found.append(_begins(behind, have))
    told: set[str] = set()
    for one in found:
        if one is None:
            return None
        told |= one
    return told

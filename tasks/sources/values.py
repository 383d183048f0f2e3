"""What the text of a cell says: that a value is missing, a number, or a value that was spelt otherwise before."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np

from tasks._base import DataError

PANDAS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
)  # what pandas.read_csv takes for missing
OTHERS = ("?", "-", "--", ".", "NaT", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!")  # and Excel's errors
MISSING = frozenset(mark.lower() for mark in (*PANDAS, *OTHERS))
UNKNOWN = frozenset({"unknown", "unk", "anonymous", "anonymised", "anonymized", "anon", "missing", "nil", "tbd", "nd",
    "blank", "empty", "undefined", "unspecified", "notavailable", "notapplicable", "notrecorded", "notknown", "notdone",
    "nodata", "n.a", "k.a", "unbekannt", "pd.na"})  # fmt: skip
CODES_OF_UNKNOWN = frozenset(f"{sign}{text}" for sign in ("", "-") for text in ("9", "99", "999", "9999", "99999"))
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
WITH_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)e[+-]?\d{1,4}", re.ASCII | re.IGNORECASE)
CODE = re.compile(r"[+-]?\d+e\d+", re.ASCII | re.IGNORECASE)  # 1E1, a well of a plate; programs write 1.0E1 or 1e+01
LARGEST = 1e100  # a number whose square still is one
BLANK = re.compile(r"(?<![0-9]) (?!-[0-9])| (?!-?[0-9])")  # but between two numbers
FRAMES = 1e9
SIMILAR = (
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455"  # Cyrillic
    "\u03b1\u03b2\u03b5\u03b9\u03ba\u03bf\u03c1\u03c4\u03c7"  # Greek
)
LATIN = "abekmhopctyxijsabeikoptx"  # what looks like these, as small letters or as capitals
ALIKE = str.maketrans(SIMILAR + SIMILAR.upper(), LATIN + LATIN.upper())
UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")  # letters without ink
SPELLING = ("refuse", "unite", "keep")
SHOWN = 3  # pairs that a message names
APART = 3  # how many times wider than the widest gap between others is the gap before a mark
FEW = 10  # distinct numbers: among fewer none stands apart
SENTINELS = frozenset({0.0, *(sign * float(text) for text in ("1", "8", "9", "77", "88", "99", "777", "888", "999",
                      "7777", "8888", "9999", "99999", "999999") for sign in (1, -1))})  # fmt: skip


def is_missing(text: str) -> bool:
    """Whether a cell holds one of the usual marks of a missing value, in any case, or nothing that prints.

    >>> [is_missing(text) for text in ("", " NaN", "None", "<NA>", "?", "none of these")]
    [True, True, True, True, True, False]
    """
    return _printing(text).strip().lower() in MISSING


def number(text: str, *, exponents: bool = False) -> float | None:
    """The finite number that a text writes in ASCII digits; None for any other text, `1_1`, `1,5`, `inf` and `1E1`.

    An exponent counts where it has a sign or its number a point, as programs write it; with `exponents` always.

    >>> [number(text) for text in ("1.5", "-2e-05", "1E1", "1_1")]
    [1.5, -2e-05, None, None]
    """
    text = text.strip()
    if not PLAIN.fullmatch(text) and (not WITH_EXPONENT.fullmatch(text) or (CODE.fullmatch(text) and not exponents)):
        return None
    value = float(text)
    return value if abs(value) <= LARGEST else None


def frame_number(text: str) -> int | None:
    """The number of a frame, a whole number from 1 however it is spelt (`3`, `3.0`, `+3`, `3e0`); None otherwise."""
    value = number(text, exponents=True)
    return int(value) if value is not None and value.is_integer() and 1 <= value <= FRAMES else None


def _printing(text: str) -> str:
    """The text without characters that do not print; every space is a plain one."""
    if text.isascii() and text.isprintable():
        return text
    kept = []
    for c in text:
        category = unicodedata.category(c)
        if c.isspace() or category == "Zs":
            kept.append(" ")
        elif category == "Pd" or c == "\u2212":
            kept.append("-")
        elif category not in ("Cc", "Cf", "Cn") and c not in UNSEEN and not "\ufe00" <= c <= "\ufe0f":
            kept.append(c)
    return "".join(kept)


@lru_cache(maxsize=1 << 17)
def spelling(text: str) -> str:
    """What two texts share that are one value in two spellings.

    Case, leading zeros, a trailing `.0`, the Unicode form, white space, what does not print, a final point, quotation
    marks and brackets around it do not count, nor whether a hyphen, an underscore or nothing joins two words; two
    spellings of one number are one. Letters of another alphabet are the Latin ones that look like them.

    >>> len({spelling(text) for text in ("P7", "p7", "P007", "P 7", "P" + chr(0x200B) + "7", "P-7", "P_7", "(P7).")})
    1
    >>> len({spelling(text) for text in ("1-2", "12", "-7", "7", "CD4-", "CD4", "t -1", "t 1")})
    8
    >>> spelling("7.0") == spelling("0007") != spelling("70")
    True
    """
    written = _printing(unicodedata.normalize("NFKC", text)).translate(ALIKE).lower()
    plain = _bare(" ".join(written.replace("_", " ").split())) or written.strip()
    plain = re.sub(r"^([0-9]+),00?$", r"\1", plain)  # 7.0, where commas are written
    plain = BLANK.sub("", plain)
    if PLAIN.fullmatch(plain) or (WITH_EXPONENT.fullmatch(plain) and re.match(r"[+-]?([1-9]|0?\.)", plain)):
        sign, whole, part = _digits(plain)
        return f"{sign}{whole}.{part}" if part else sign + whole
    plain = re.sub(r"(?<=[^\W_])-(?=[^\W_])", " ", plain)
    plain = BLANK.sub("", plain)
    if plain.count(".") == 1:
        plain = re.sub(r"(?<=[0-9])\.0+$", "", plain)
    return re.sub(r"(?<![0-9.,])0+(?=[0-9])", "", plain)


def _bare(text: str) -> str:
    """The text without quotation marks and brackets around it, `=` or `#` before it, and a point behind it."""
    before = None
    while text != before:
        before = text
        text = text.rstrip(" .,;:'\"’”").lstrip(" '\"’‘“”#=")
        if text[:1] + text[-1:] in ("()", "[]", "{}", "<>"):
            text = text[1:-1]
    return text


def _digits(text: str) -> tuple[str, str, str]:
    if "e" in text:
        text = f"{Decimal(text):f}" if abs(int(text.partition("e")[2])) < 100 else text
    whole, _, part = text.lstrip("+-").partition(".")
    return "-" * text.startswith("-"), whole.lstrip("0") or "0", part.rstrip("0")


def _as_written(values: Sequence[str]) -> list[str]:
    """Texts in quotes, with escapes where they would look alike without."""
    if len({unicodedata.normalize("NFC", repr(value)).translate(ALIKE) for value in values}) == len(values):
        return [repr(value) for value in values]
    return [ascii(value) for value in values]


def one_spelling(
    values: Sequence[str],
    rule: str,
    what: str,
    places: Sequence[str],
    *,
    private: bool = False,
    files: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """The values in one spelling each, and sentences about it; `what` names them and `places` says where each stands.

    `rule` says what to do where values differ only in their spelling: "refuse", "unite" them, or "keep" them apart.
    What is `private` stands in no sentence, but in the error; with `files`, of patients, the error names those instead.

    Raises:
        DataError: values differ only in their spelling and the rule refuses.
    """
    counts = Counter(values)
    spelt: dict[str, list[str]] = defaultdict(list)
    for value in counts:
        spelt[spelling(value)].append(value)
    twice = [found for found in spelt.values() if len(found) > 1]
    if not twice:
        return list(values), []

    def named(at: Sequence[str], *, hidden: bool) -> str:
        first = dict(zip(reversed(values), reversed(at), strict=True))
        words = []
        for found in twice[:SHOWN]:
            written = zip(_as_written(found), found, strict=True)
            texts = [first[v] if hidden else f"{text} ({counts[v]} times, first {first[v]})" for text, v in written]
            words.append(" and ".join(texts))
        return "; ".join(words) + (f"; and {len(twice) - SHOWN} more" if len(twice) > SHOWN else "")

    many = "1 value differs" if len(twice) == 1 else f"{len(twice)} values differ"
    sentence = f"{many} only in spelling in {what}: "
    if rule == "refuse":
        raise DataError(
            f"{sentence}{named(files or places, hidden=bool(files))}; make them equal, or say --spelling unite (they "
            "are one) or --spelling keep (they are not)"
        )
    if rule == "keep":
        return list(values), [f"{sentence}{named(places, hidden=private)}: they stay apart"]
    most = {key: max(found, key=lambda v: counts[v]) for key, found in spelt.items()}
    return [most[spelling(value)] for value in values], [f"{sentence}{named(places, hidden=private)}: they are one"]


def cut_digits(values: Iterable[str]) -> int:
    """How many values have lost their last digits, perhaps: 1.23E+12, 9007199254740992.0, or 15 digits and zeros.

    A spreadsheet keeps 15 digits, a number of double precision whole ones up to 2**53. Zeros count where all values
    of more than 15 digits end in them, and there are several such values.
    """
    plain = [value.strip() for value in values]
    shown = sum(bool(re.fullmatch(r"\d\.\d+E\+\d+|\d{16,}\.0", v, re.ASCII | re.IGNORECASE)) for v in plain)
    long = [v for v in plain if re.fullmatch(r"\d{16,}", v, re.ASCII)]
    zeros = len(set(long)) > 1 and all(not v[15:].strip("0") for v in long)
    return shown + len(long) * zeros


def stands_for_unknown(text: str) -> bool:
    """Whether a value that is no mark of a missing one may yet say that nothing is known: `unknown`, `n.a.`, `-9`.

    >>> [stands_for_unknown(text) for text in ("Unknown", "not recorded", "n.a.", "-9", "known", "none", "7")]
    [True, True, True, True, False, False, False]
    """
    plain = spelling(text)
    return plain in UNKNOWN or plain in CODES_OF_UNKNOWN


def repeated_marks(values: Sequence[float], places: Sequence[str]) -> list[str]:
    """Sentences about a number that is perhaps a mark of a missing value, though it lies near the others.

    It is the least or the greatest, is repeated, is a usual mark (-1, 0, 99, 999 …), and lies behind a gap, or alone
    below 0 and more often than any other. `values` are those without the ones far out: these are named as such.
    """
    distinct = np.unique(np.asarray(values, float))
    if len(distinct) < FEW:
        return []
    found = []
    for value in (float(distinct[0]), float(distinct[-1])):
        if _sentinel(value, distinct, values):
            at = [place for v, place in zip(values, places, strict=True) if v == value]
            found.append(
                f"{len(at)} values are {value:g} ({at[0]}, …), a usual mark of a missing value: if it is one here, "
                "empty the cells"
            )
    return found


def _sentinel(value: float, distinct: np.ndarray, values: Sequence[float]) -> bool:
    """Whether the least or greatest number is a usual mark, is repeated, and stands apart or is strangely frequent."""
    counts = Counter(values)
    if value not in SENTINELS or counts[value] < 2:
        return False
    others = distinct[distinct != value]
    apart = min(abs(others - value)) > APART * np.diff(others).max()
    often = counts[value] >= 2 * max(counts[float(v)] for v in others)
    return bool(apart or (value < 0 <= others.min() and often))

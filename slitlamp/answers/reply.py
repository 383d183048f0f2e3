"""Which option a model's raw reply names: by its letter or its words, or none where it denies, refuses or wavers."""

import functools
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from encoders.answering.prompts import LETTERS
from probes.pairs.answers import FAILED, blink_letter, mediconfusion_letter
from probes.pairs.scores import INVALID
from slitlamp.answers import phrases
from slitlamp.errors import UsageError

STATED, ASSERTED, BARE = 3, 2, 1  # how firmly an option is named: as the answer, in words, by a letter in passing
TURNS = 4  # of the turns of a reply, how many last ones are looked behind
LONGEST = 1000  # characters that are looked at together, so that the time does not grow with the square of a reply
MOST_LINKED, LINK = 9, 20  # letters of one list that are looked back over, and characters that each may take
CUE_WORDS = 24  # more words than any cue has, with what may stand between it and the option
MOST_BETWEEN = 16  # more characters than a word that parts clauses has
SHORT = frozenset({"yes", "no", "ja", "nein", "oui", "non", "sí", "si", "true", "false"})  # words of any sentence too
GAP = 7  # words that may stand between `the answer is` and the option


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The option that a reply names, by its place, or None, and the reason in a few words."""

    choice: int | None
    why: str


@dataclass(frozen=True, kw_only=True)
class Mention:
    """Where an option is named: characters `start` to `end`, by letter or by its words."""

    start: int
    end: int
    option: int
    letter: bool
    decorated: bool = False


def read_reply(
    reply: str | None,
    options: Sequence[str],
    *,
    finished: bool = True,
    synonyms: Sequence[Sequence[str]] = (),
    letters: bool = True,
) -> Parsed:
    """The option that a raw reply names.

    `synonyms` are other words for each option, in their order; `letters` says that the options were shown with letters.
    What is stated as the answer outranks what is merely said, and the last of two statements counts where the first is
    withdrawn. A negation names nothing, unless the option is the negation of another ("enhanced", "not enhanced"); two
    options, a refusal, a question and an unfinished reply are none. Nothing is guessed, and the order of the options
    decides nothing.

    Raises:
        UsageError: fewer than two options, an empty one, or words that two options share.
    """
    reader = _reader(tuple(options), tuple(tuple(words) for words in synonyms), letters)
    if reply is None or not reply.strip():
        return Parsed(choice=None, why="empty")
    if not finished:
        return Parsed(choice=None, why="unfinished")
    return _read_once(reader, reply) if len(reply) <= LONGEST else reader.read(_plain(reply))


def counted_reasons(whys: Iterable[str]) -> str:
    """How often each reason is given, the most frequent first, without what it names.

    >>> counted_reasons(["refusal", "two options: A, B", "two options: A, C"])
    '2 two options, 1 refusal'
    """
    count = Counter(why.partition(":")[0].partition(";")[0] for why in whys)
    return ", ".join(f"{n} {why}" for why, n in sorted(count.items(), key=lambda p: (-p[1], p[0])))


@functools.lru_cache(maxsize=2**14)
def _read_once(reader: "_Reader", reply: str) -> Parsed:
    """The reading of a short reply; models give the same one to many items."""
    return reader.read(_plain(reply))


def _plain(reply: str) -> str:
    """The reply without marks of format, struck-out words and what was thought before it."""
    text = reply
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = text.translate({ord(c): None for c in set(text) if unicodedata.category(c) == "Cf"})
    if "`" in text or not text.isascii():
        text = re.sub(r"(?<=\w)[‘’´`](?=\w)", "'", text)
        text = re.sub(r"[‘’“”„«»‹›「」『』【】〈〉《》〔〕]", '"', text)
    if "</" in text:
        text = re.sub(r"^.*</think(?:ing)?>", "", text, flags=re.DOTALL | re.IGNORECASE)
    if "~~" in text:
        text = re.sub(r"~~.*?~~", " ", text, flags=re.DOTALL)
    return text.strip()


_KEYS = r"(?:final_?|correct_?|predicted_?)?(?:answer|choice|option|prediction|response|label|letter)"
_JSON = re.compile(rf"[\"']{_KEYS}[\"']\s*:\s*(\"(?:[^\"\\]|\\.)*\"|'[^']*'|\[[^\]]*\]|[^,}}\]\n]+)", re.IGNORECASE)
_TAG = re.compile(r"<(answer|final_answer|choice|final)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mathit|textit|rm|bf|operatorname)\s*\{([^{}]*)\}")
_MARKUP = re.compile(r"\*+|(?<!\w)_{1,3}(?=\w)|(?<=\w)_{1,3}(?!\w)|`+|^\s*#+\s*|^\s*>\s*|\$+", re.MULTILINE)
_MARKS = re.compile(r"[*_`#>$]")  # without any of them nothing is marked
_ASIDE = re.compile(r",\s*(?:which|who|that|shown|marked|located|circled|labell?ed)\b[^,.;\n]{0,90},", re.IGNORECASE)
_SEEMING = re.compile(
    r"\b(?:appears|seems|looks|is)(?: to be| to me to be| like it is)(?=\s)|\b(?:appears|seems|looks)(?=\s)"
)
_ENUMERATED = re.compile(r"^\s*\d+[.)]\s+(?=\S+\s+\S)", re.MULTILINE)


def _unmarked(text: str) -> str:
    """Plain text: no Markdown, LaTeX, tags, or asides between a thing and what is said of it."""
    if "\\" in text:
        text = _LATEX.sub(r"\1", text)
    if _MARKS.search(text):
        text = _MARKUP.sub("", text)
    if "<" in text:
        text = re.sub(r"<[^<>\s][^<>\n]{0,39}>", " ", text)
    text = text.replace("\\(", "(").replace("\\)", ")").replace("\\", " ")
    if "\n" in text and len(_ENUMERATED.findall(text)) > 1:
        text = _ENUMERATED.sub("", text)
    if text.count(",") > 1:
        text = phrases.AFTER_NEGATION.sub(r"\1 ", _ASIDE.sub(" ", text))
    text = phrases.NO_NEGATION.sub(" ", text)
    return _SEEMING.sub("is", text).strip()


def _words(text: str) -> str:
    """The words of an option as they are compared: lower case, no marks at the ends, no article before."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    text = re.sub(r"[\s\-_‐–/]+", " ", text).strip(" .,;:!()[]{}\"'*`$")
    article = re.match(r"(?:the|an?|der|die|das|le|la|el)\s+(\w+)", text)
    return text if article is None or article[1] in phrases.FUNCTION_WORDS else text[article.start(1) :]


@functools.lru_cache(maxsize=4096)
def _reader(options: tuple[str, ...], synonyms: tuple[tuple[str, ...], ...], letters: bool) -> "_Reader":
    if len(options) < 2:
        raise UsageError(f"a reply is read against two options or more, not {len(options)}")
    if synonyms and len(synonyms) != len(options):
        raise UsageError(f"{len(synonyms)} sets of synonyms for {len(options)} options")
    if len(options) > len(LETTERS):
        raise UsageError(f"{len(options)} options: at most {len(LETTERS)} have letters")
    named: dict[str, int] = {}
    for number, own in enumerate(options):
        for text in (own, *(synonyms[number] if synonyms else ())):
            words = _words(str(text))
            if not words:
                raise UsageError(f"option {number + 1} of {list(options)} is empty")
            if named.setdefault(words, number) != number:
                raise UsageError(f"two options share the words {text!r}: {options[named[words]]!r} and {own!r}")
    for number, own in enumerate(options):
        _numeral(named, number, own)
    return _Reader(options=options, named=named, letters=letters)


def _numeral(named: dict[str, int], number: int, own: str) -> None:
    """Adds the word of a number, unless another option has it."""
    if re.fullmatch(r"\d+", own.strip()) and int(own) < len(phrases.NUMBERS):
        named.setdefault(phrases.NUMBERS[int(own)], number)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Reader:
    """A reader of replies to one set of options."""

    options: tuple[str, ...]
    named: dict[str, int]  # words, as `_words` gives them, and the option they stand for
    letters: bool

    @functools.cached_property
    def of_words(self) -> re.Pattern[str]:
        """Options by their words, the longest first; a letter that is its own option's text is left to the letters."""
        own = {_words(letter): k for k, letter in enumerate(LETTERS[: len(self.options)])} if self.letters else {}
        texts = [t for t, k in self.named.items() if own.get(t) != k]
        parts = []
        for text in sorted(texts, key=lambda t: (-len(t), t)):
            inner = r"[\s\-_‐–/]+".join(re.escape(word) for word in text.split())
            if re.fullmatch(r"\d+", text):
                inner = rf"(?<![.,/])(?<!\d[.,–—~-]){inner}(?![/%]|[.,]\d|\s?[–—~-]\s?\d)"
            parts.append(f"(?-i:{inner.upper()})" if len(text) == 1 and text.isalpha() else inner)
        pattern = "|".join(parts) or r"(?!)"
        return re.compile(rf"(?<![\w])(?:{pattern})(?![\w]|-\w)", re.IGNORECASE)

    @functools.cached_property
    def of_letters(self) -> re.Pattern[str]:
        """Options by a letter, in brackets or quotes, before a bracket, colon or full stop, or bare."""
        last = LETTERS[len(self.options) - 1]
        both = f"A-{last}a-{last.lower()}"
        return re.compile(
            rf"(?P<in>[(\[{{\"]\s*(?P<a>[{both}])\s*[)\]}}\".:]+)"
            rf"|(?<![A-Za-zÀ-ÿ0-9_'’&-])(?<![Nn]/)(?P<b>[A-{last}])(?P<mark>[).:]?)(?![A-Za-zÀ-ÿ0-9_'’&+-])"
        )

    def read(self, text: str) -> Parsed:
        """The option named by a reply whose format marks still stand."""
        formal = self._formal(text)
        if formal is not None:
            return formal
        if re.search(r"<think(?:ing)?>|\\boxed\s*\{[^}]*$", text):
            return Parsed(choice=None, why="unfinished")
        text = _unmarked(text)
        whole = self._whole(text)
        if whole is not None:
            return Parsed(choice=whole, why="the option alone")
        return self._ticked(text) or self._in_turns(text)

    def _ticked(self, text: str) -> Parsed | None:
        """What is read where two lines or more say yes or no behind an option each; None where they do not."""
        said: dict[int, bool] = {}
        others = []
        for line in text.splitlines():
            tick = phrases.TICK.search(line)
            named = None if tick is None else self._named_alone(line[: tick.start()])
            if tick is None or named is None:
                others.append(line)
            elif _words(tick["yes"] or tick["no"]) in self.named:
                return None  # the options themselves
            else:
                said[named] = tick["yes"] is not None
        if len(said) < 2:
            return None
        beside = self._in_turns("\n".join(others)).choice
        chosen = sorted({k for k, yes in said.items() if yes} | (set() if beside is None else {beside}))
        if len(chosen) == 1:
            return Parsed(choice=chosen[0], why="the one that is ticked")
        return Parsed(choice=None, why=f"two options: {self._names(chosen)}" if chosen else "only denied")

    def _named_alone(self, line: str) -> int | None:
        """The option that a line of a list or a table names, by its letter, its words, or both; None for others."""
        line = line.strip().strip("|-–—:*•·+ \t")
        letter = self.of_letters.match(line) if self.letters else None
        if letter is None or letter.end() == len(line):
            return self._whole(line)
        place = LETTERS.index((letter["a"] or letter["b"]).upper())
        return place if self.named.get(_words(line[letter.end() :].strip("|-–—: "))) == place else None

    def _formal(self, text: str) -> Parsed | None:
        """What stands in a field `answer`, a tag or a box; None where there is none of them."""
        values = [re.sub(r"^[\"']|[\"']$", "", m[1].strip()) for m in _JSON.finditer(text)] if "{" in text else []
        values = values or [m[2] for m in _TAG.finditer(text)] or [m[1] for m in _BOXED.finditer(text)]
        if not values:
            return None
        read = [self._value(_unmarked(value)) for value in values]
        found = {one.choice for one in read}
        if len(found) == 1:
            return read[-1]
        named = sorted(k for k in found if k is not None)
        return Parsed(
            choice=None, why=f"two options: {self._names(named)}" if len(named) > 1 else "two answers, one unread"
        )

    def _value(self, value: str) -> Parsed:
        truth = {"true": "yes", "false": "no"}.get(value.lower().strip(), value)
        whole = self._whole(truth)
        if whole is None:
            return self._in_turns(value)
        return Parsed(choice=whole, why="a field, tag or box")

    def _whole(self, text: str) -> int | None:
        """The option that is the whole text, but for brackets and full stops."""
        bare = text.strip().strip(" .,;:!()[]{}<>\"'*`")
        if "?" in text:
            return None
        if self.letters and len(bare) == 1 and bare.upper() in LETTERS[: len(self.options)]:
            place = LETTERS.index(bare.upper())
            other = self.named.get(_words(bare))
            return place if other in (None, place) else None
        return self.named.get(_words(text))

    def _names(self, numbers: Sequence[int]) -> str:
        return ", ".join(f"{self.options[k]}"[:30] for k in numbers)

    def _in_turns(self, text: str) -> Parsed:
        """The reading of what stands behind the last correction, of the whole text where nothing is corrected."""
        withdrawals = [*phrases.WITHDRAWN.finditer(text)]
        if withdrawals and self._positive(text[: withdrawals[-1].start()]):
            behind = self._once(text[withdrawals[-1].end() :])
            if behind.choice is not None:
                return Parsed(choice=behind.choice, why="changed mind, last answer")
            return Parsed(choice=None, why=f"withdrawn; then {behind.why}")
        for turn in reversed(list(phrases.TURNED.finditer(text))[-TURNS:]):
            before, behind = self._once(text[: turn.start()]), self._once(text[turn.end() :])
            if before.choice is not None and behind.choice is not None and before.choice != behind.choice:
                return Parsed(choice=behind.choice, why="changed mind, last answer")
        return self._once(text)

    def _positive(self, text: str) -> set[int]:
        return {m.option for _, m in self._assertions(text)[0]}

    def _once(self, text: str) -> Parsed:
        """The reading of a text without corrections."""
        whole = self._whole(text)
        if whole is not None:
            return Parsed(choice=whole, why="the option alone")
        positive, negative, listed = self._assertions(text)
        refusal = self._refusal(text)
        for level, why in ((STATED, "stated"), (ASSERTED, "said"), (BARE, "said by its letter")):
            found = [m for have, m in positive if have == level]
            if not found:
                continue
            options = sorted({m.option for m in found})
            if len(options) > 1:
                return Parsed(choice=None, why=f"two options: {self._names(options)}")
            if level < STATED and refusal is not None:
                despite = phrases.DESPITE.search(text, refusal)
                later = [m for m in found if despite is not None and m.start > refusal and despite.end() <= m.start]
                if not later:
                    return Parsed(choice=None, why="refusal")
            return Parsed(choice=options[0], why=why)
        if refusal is not None:
            return Parsed(choice=None, why="refusal")
        if negative:
            return Parsed(choice=None, why=f"only denied: {self._names(sorted(set(negative)))}")
        return Parsed(choice=None, why=self._without(text, listed=listed))

    def _without(self, text: str, *, listed: bool) -> str:
        """Why a text that neither asserts nor denies an option names none."""
        if listed:
            return f"two options: {self._names(range(len(self.options)))}"
        if re.search(r"\bneither\b|\bnone of\b", text, re.IGNORECASE):
            return "neither"
        if re.search(r"\bboth\b|\ball of\b", text, re.IGNORECASE):
            return "both"
        if text.rstrip().endswith("?"):
            return "a question"
        return "names no option"

    def _refusal(self, text: str) -> int | None:
        """Where the text refuses, unless an option's own words do."""
        own: list[re.Match[str]] | None = None
        for found in phrases.REFUSAL.finditer(text):
            own = list(self.of_words.finditer(text)) if own is None else own
            if not any(m.start() < found.end() and found.start() < m.end() for m in own):
                return found.end()
        return None

    def _mentions(self, text: str) -> list[Mention]:
        """All places where an option is named, in their order; words before letters inside them."""
        found = []
        for m in self.of_words.finditer(text) if self._may_hold_words(text) else ():
            words = _words(m[0])
            option = self.named.get(words)
            if option is None or (words in SHORT and not _answers_shortly(text, m.start(), m.end())):
                continue
            found.append(Mention(start=m.start(), end=m.end(), option=option, letter=False))
        taken = [(m.start, m.end) for m in found if m.end - m.start > 1]
        if self.letters:
            for m in self.of_letters.finditer(text) if _CAPITAL.search(text) else ():
                letter = m["a"] or m["b"]
                decorated = m["in"] is not None
                inside = any(a <= m.start() and m.end() <= b for a, b in taken)
                if inside or not (decorated or _is_label(text, m, LETTERS[len(self.options) - 1])):
                    continue
                head = _WORD.search(text, 0, m.start()) is None
                dashed = head and re.match(r"\s+[-–—]\s+(?![A-Z]\b)", text[m.end() :]) is not None
                strong = decorated or (bool(m["mark"]) and (head or m["mark"] != ".")) or (head and dashed)
                found.append(
                    Mention(
                        start=m.start(),
                        end=m.end(),
                        option=LETTERS.index(letter.upper()),
                        letter=True,
                        decorated=strong,
                    )
                )
            for m in _ORDINAL.finditer(text):
                place = phrases.ORDINALS.index(m[1].lower())
                if place < len(self.options):
                    found.append(Mention(start=m.start(), end=m.end(), option=place, letter=True, decorated=True))
            found += _small_letters(text, len(self.options), [(m.start, m.end) for m in found])
        return sorted(found, key=lambda m: (m.start, m.end))

    def _may_hold_words(self, text: str) -> bool:
        """Whether an option's words can be in a text: the first of them is, or the text is no ASCII."""
        if not text.isascii():
            return True
        plain = text.lower()
        return any(first in plain for first in self.firsts)

    @functools.cached_property
    def firsts(self) -> frozenset[str]:
        """The first word of each option."""
        return frozenset(text.split()[0] for text in self.named)

    def _may_name_behind(self, clause: str, at: int) -> bool:
        """Whether anything that may name an option ends behind a place of a clause."""
        found = [*self.of_words.finditer(clause)]
        if self.letters:
            small = _small(LETTERS[len(self.options) - 1].lower())
            found += [*self.of_letters.finditer(clause), *_ORDINAL.finditer(clause), *small.finditer(clause)]
        return any(m.end() > at for m in found)

    def _complement(self, option: int) -> int | None:
        """The option that is the negation of another: "not enhanced" of "enhanced"."""
        texts = [t for t, k in self.named.items() if k == option]
        for text in texts:
            for negation in ("not", "no", "non", "without", "nicht", "kein", "keine", "ohne", "pas", "sans", "sin"):
                other = self.named.get(f"{negation} {text}")
                if other is not None and other != option:
                    return other
        return None

    def _assertions(self, text: str) -> tuple[list[tuple[int, Mention]], list[int], bool]:
        """Options that the text asserts, each with how firmly, those that it denies, and whether it lists them all."""
        positive: list[tuple[int, Mention]] = []
        negative: list[int] = []
        listed = False
        for start, end in _sentences(text):
            sentence = text[start:end]
            mentions = self._mentions(sentence)
            if not mentions or sentence.rstrip().endswith("?"):
                continue
            kept: list[tuple[int, Mention]] = []
            cue = _cue_before(sentence, mentions)
            denied = self._all_denied(sentence, mentions, cue)
            for number, (mention, moved) in enumerate(zip(mentions, denied, strict=True)):
                if moved is not None:
                    other = self._complement(mention.option)
                    if other is None or moved == "behind":
                        negative.append(mention.option)
                        continue
                    mention = Mention(start=mention.start, end=mention.end, option=other, letter=mention.letter)
                if re.match(r"[)\]\"'\s]*\?", sentence[mention.end :]):
                    continue  # it is asked
                if cue[number] is None and (
                    _supposed(sentence, mention) or _compared(sentence, mention) or _of_another(sentence, mention)
                ):
                    continue
                kept.append((self._level(text, start, sentence, mention, cue[number]), mention))
            kept = _chained(sentence, kept)
            if self._all_listed(sentence, kept, cue):
                listed = True
                continue
            positive += [
                (level, Mention(start=m.start + start, end=m.end + start, option=m.option, letter=m.letter))
                for level, m in kept
            ]
        return positive, negative, listed

    def _all_listed(self, sentence: str, kept: Sequence[tuple[int, Mention]], cue: Sequence[int | None]) -> bool:
        """Whether a sentence does no more than name all options side by side: `points A, B and C are marked`."""
        if len({m.option for _, m in kept}) < len(self.options) or any(one is not None for one in cue):
            return False
        if len(self.options) == 2 and any(level == STATED for level, _ in kept):
            return False
        pairs = pairwise(m for _, m in kept)
        return all(_TRIVIAL.fullmatch(sentence[a.end : b.start]) for a, b in pairs)

    def _all_denied(self, sentence: str, mentions: Sequence[Mention], cue: Sequence[int | None]) -> list[str | None]:
        """How each option is denied; what is denied behind the last of several is of all: `A and B are wrong`."""
        found = [self._denied(sentence, mention, at) for mention, at in zip(mentions, cue, strict=True)]
        for k in range(len(mentions) - 1, 0, -1):
            between = sentence[mentions[k - 1].end : mentions[k].start]
            if found[k] == "behind" and found[k - 1] is None and _AND.search(between) and _TRIVIAL.fullmatch(between):
                found[k - 1] = "behind"
        return found

    def _denied(self, sentence: str, mention: Mention, cue: int | None) -> str | None:
        """How an option is denied: `before` it, `behind` it, said to be `absent`, or None where it is not."""
        if phrases.ABSENT.search(sentence[mention.end :]):
            return "absent"
        if phrases.NEGATED_BEHIND.search(sentence[mention.end :]):
            return "behind"
        if cue is None:
            ends = _clause_starts(sentence, mention.start)
            if len(ends) > 1 and re.match(r"\s*(?:that|dass|daß|que)\b", sentence[ends[-1] :], re.IGNORECASE):
                ends.pop()
            clause = sentence[ends[-1] : mention.start]
        else:
            clause = sentence[cue : mention.start]
            if phrases.NEGATED_CUE.search(sentence, _back(sentence, cue, 8), cue):
                return "before"
            ends = [m.end() for m in phrases.BOUNDARY.finditer(clause)]
            clause = clause[max(ends, default=0) :]
        words = []
        if _may_deny(sentence):
            words = [m for m in phrases.NEGATION.regex.finditer(clause) if not self._is_an_answer(clause, m)]
        if not words:
            listed = None
            if phrases.LAST_OF_LIST.search(sentence, max(0, _back(sentence, mention.start, 3) - 1), mention.start):
                listed = phrases.NEGATED_LIST.search(sentence, 0, mention.start)
            if (
                listed
                and not mention.letter
                and not any(m.start >= listed.start() for m in self._mentions(sentence[: mention.start]))
            ):
                return "before"
            joined = clause.rstrip("\n").endswith("-") and re.search(r"\b(?:non|un|not)-$", clause, re.IGNORECASE)
            return "before" if joined else None
        joint = deque(_AND.finditer(clause, words[-1].end()), maxlen=1)
        if not self._may_name_behind(clause, joint[0].start() if joint else words[-1].end()):
            return "before"  # `not A or …`, which goes on
        named = [m for m in self._mentions(clause) if m.start >= words[-1].end()]
        if named and not _AND.search(clause[named[-1].end :]):
            return None  # what is denied was named: `not green: blue`
        return "before"

    def _is_an_answer(self, clause: str, found: re.Match[str]) -> bool:
        """Whether a word of negation is itself an option that is named ("no" of yes and no)."""
        return found[0].lower() in self.named and _answers_shortly(clause, found.start(), found.end())

    def _level(self, text: str, at: int, sentence: str, mention: Mention, cue: int | None) -> int:
        """How firmly an option is named that is not denied."""
        if cue is not None or phrases.STATED_BEHIND.search(sentence[mention.end :]):
            return STATED
        if phrases.CONCLUSION.search(sentence):
            return STATED
        if not re.search(r"\w", sentence[: mention.start] + sentence[mention.end :]):
            return STATED  # alone on its line
        head = _WORD.search(text, 0, at + mention.start) is None
        behind = text[at + mention.end :] if head else ""
        closed = mention.decorated or not behind.strip() or re.match(r"\s*[.,:;)\]!\-–—\n]|\s*\n", behind)
        if (
            head
            and closed
            and not _listed(text, self.of_letters)
            and not self._judged_by_line(text)
            and not self._repeated(text)
            and not (sentence[: mention.end].lower().strip() == "right" and self._others(text, mention))
        ):
            return STATED
        return BARE if mention.letter and not mention.decorated else ASSERTED

    def _judged_by_line(self, text: str) -> bool:
        """Whether two lines or more begin with the words of different options, of each of which something is said."""
        heads = (self.of_words.match(line.strip().lstrip("-•* ")) for line in text.splitlines())
        found = [m for m in heads if m is not None and re.match(r"\s*[:–—-]", m.string[m.end() :])]
        return len({self.named.get(_words(m[0])) for m in found}) > 1

    def _repeated(self, text: str) -> bool:
        """Whether two letters or more stand before their own options' words, as where the options are repeated."""
        marked = (m for m in self.of_letters.finditer(text) if m["in"] or m["mark"])
        own = set()
        for m in marked:
            place = LETTERS.index((m["a"] or m["b"]).upper())
            words = self.of_words.match(text, m.end() + len(text[m.end() :]) - len(text[m.end() :].lstrip()))
            if words and self.named.get(_words(words[0])) == place:
                own.add(place)
        return len(own) > 1

    def _others(self, text: str, mention: Mention) -> bool:
        return any(m.option != mention.option for m in self._mentions(text))


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a text lie, those without an end in pieces; a letter before a full stop ends none."""
    for start, end in _ended(text):
        while end - start > LONGEST:
            cut = text.rfind(" ", start + 1, start + LONGEST)
            cut = cut if cut > start else start + LONGEST
            yield start, cut
            start = cut
        yield start, end


_END = re.compile(r"(?<=[.!?。])[)\"'\]]*\s+|\n+|[;；]\s*|(?<=[。！？])|,\s+(?=(?:so|therefore|thus|hence)\b)")


def _ended(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for end in _END.finditer(text):
        before = text[start : end.start()].strip()
        if (re.fullmatch(r"\W*[A-Za-z]\W*", before) or _TITLE.search(before[-12:])) and "\n" not in end[0]:
            continue
        if before:
            yield start, end.start()
        start = end.end()
    if text[start:].strip():
        yield start, len(text)


def _cue_before(sentence: str, mentions: Sequence[Mention]) -> list[int | None]:
    """Where the cue begins that each mention follows, in a few words and without a comma; None without one."""
    cues = [*phrases.CUE.finditer(sentence)]
    ends = [m.end() for m in cues]
    found: list[int | None] = []
    for mention in mentions:
        place = bisect_right(ends, mention.start + 1) - 1
        while place >= 0 and cues[place].start() >= mention.start:
            place -= 1
        if place < 0:
            found.append(None)
            continue
        between = sentence[ends[place] : mention.start]
        close = sum(1 for _ in islice(_WORD.finditer(between), GAP + 1)) <= GAP and not _PAUSE.search(between)
        found.append(cues[place].start() if close else None)
    return found


_WORD = re.compile(r"\w+")
_PAUSE = re.compile(r"[,;](?!\s*(?:but|sondern|sino|mais)\b)")


@functools.lru_cache(maxsize=8)
def _words_at(text: str) -> list[int]:
    """Where the words of a text begin; what holds neither a letter nor a digit is none."""
    return [m.start() for m in re.finditer(r"[\w'’-]+", text) if m[0].strip("_'’-")]


def _back(text: str, at: int, words: int) -> int:
    """Where so many words before a place begin: what ends at the place and has no more of them is found from there."""
    starts = _words_at(text)
    place = bisect_left(starts, at) - words
    return starts[place] if place > 0 else 0


@functools.lru_cache(maxsize=8)
def _boundaries(sentence: str) -> list[int]:
    return [m.end() for m in phrases.BOUNDARY.finditer(sentence)]


def _clause_starts(sentence: str, at: int) -> list[int]:
    """The last places before `at` where a clause may begin, as if the sentence ended there."""
    ends = _boundaries(sentence)
    known = [0, *ends[max(0, (place := bisect_right(ends, at)) - 2) : place]]
    from_ = max(known[-1], at - MOST_BETWEEN)
    return known + [m.end() for m in phrases.BOUNDARY.finditer(sentence, from_, at)]


@functools.lru_cache(maxsize=8)
def _may_deny(sentence: str) -> bool:
    """Whether any part of a sentence can deny something."""
    return phrases.NEGATION.search(sentence) is not None or phrases.LACK.search(sentence) is not None


@functools.lru_cache(maxsize=8)
def _first_compared(sentence: str) -> int:
    """Where the first word stands that may compare or suppose; the sentence's length without one."""
    found = phrases.OPENING.search(sentence)
    return len(sentence) if found is None else found.start()


def _compared(sentence: str, mention: Mention) -> bool:
    """Whether an option is only compared with, or what somebody may say."""
    first = _first_compared(sentence)
    if first >= mention.start:
        return False
    at = mention.start
    while at > 0 and not sentence[at - 1].isalnum():
        at -= 1
    first = max(first, sentence.rfind(",", 0, at) + 1)  # no such phrase goes on behind a comma and a word
    return phrases.NEUTRAL.search(sentence, first, mention.start) is not None


def _supposed(sentence: str, mention: Mention) -> bool:
    """Whether an option is of a general or another case."""
    return any(
        before.search(sentence, _back(sentence, mention.start, 4), mention.start)
        and behind.search(sentence[mention.end :])
        for before, behind in phrases.SUPPOSED
    )


_AND = re.compile(r"\b(?:or|nor|and|und|oder|noch|y|o|ni|ou|et)\b|[,/&]", re.IGNORECASE)
_TRIVIAL = re.compile(
    r"[\W_]*(?:(?:or|and|und|oder|y|o|ou|et|/|&|nor|as well as|or maybe|or perhaps)[\W_]*)?"
    r"(?:(?:option|point|answer|maybe|the)\s*)?[\W_]*",
    re.IGNORECASE,
)


def _chained(sentence: str, kept: Sequence[tuple[int, Mention]]) -> list[tuple[int, Mention]]:
    """Mentions with those beside them, with no more than `or` or a bracket between, named as firmly as they are.

    Of a sentence that states an answer, what stands further off than that is no answer.
    """
    found: list[tuple[int, Mention]] = []
    for level, mention in kept:
        if found:
            before, last = found[-1]
            between = sentence[last.end : mention.start]
            if _TRIVIAL.fullmatch(between) and "\n" not in between:
                level = max(level, before) if before == STATED or level == STATED else level
                if level == STATED and before != STATED:
                    found[-1] = (STATED, last)
                found.append((level, mention))
                continue
            if level == STATED and before == STATED and mention.option != last.option:
                level = ASSERTED if not phrases.STATED_BEHIND.search(sentence[mention.end :]) else level
        found.append((level, mention))
    return found


def _listed(text: str, letters: re.Pattern[str]) -> bool:
    """Whether two lines or more begin with different letters, as where the options are repeated."""
    shares = {
        (m["a"] or m["b"]).upper() for m in letters.finditer(text) if re.match(r"\W*\d+(?:\.\d+)?\s?%", text[m.end() :])
    }
    if len(shares) > 1:
        return True
    heads = set()
    for line in text.splitlines():
        found = letters.match(line.strip().lstrip("-•* "))
        if found and (found["in"] or found["mark"]):
            heads.add((found["a"] or found["b"]).upper())
    return len(heads) > 1


def _answers_shortly(text: str, start: int, end: int) -> bool:
    """Whether `yes` or `no` is an answer where it stands, and not a word of a sentence."""
    before, behind = text[:start], text[end:]
    if phrases.STATED_BEHIND.search(behind):
        return True
    closed = re.match(
        r"\s*(?:[.,:;!)\]\"'}\-–—]|\n|$|(?:it|this|that|the|there|es|das|il|la|el)\b)", behind, re.IGNORECASE
    )
    if closed is None:
        return bool(re.search(r"[(\[\"']\s*$", before)) and bool(re.match(r"\s*[)\]\"']", behind))
    head = not re.search(
        r"\w", before[max(before.rfind("\n"), before.rfind(". "), before.rfind(": "), before.rfind("! ")) + 1 :]
    )
    cue = _CUE_OF_WORD.search(text, _back(text, start, CUE_WORDS), start)
    label = re.search(r"[(\[]?\b[A-Za-z][).:\]]+\s*$", before[max(0, _back(text, start, 2) - 1) :])
    alone = re.match(r"\s*(?:[.!)\]\"'}]|\n|$)", behind) and re.search(
        r"\b(?:or|wait|actually|so|not|but|hence|thus|therefore|then)\W*$|[,:(\[\"']\s*$", before, re.I
    )
    return bool(head or cue or label or alone)


_CUE_OF_WORD = re.compile(rf"(?:{phrases.CUE.regex.pattern})\W*(?:a |an |clearly |probably )?$", re.IGNORECASE)
_CUE_OF_LETTER = re.compile(rf"(?:{phrases.CUE.regex.pattern})[\W_]*(?:option |letter )?$", re.IGNORECASE)
_LINKED = re.compile(r"\b(?:[A-Z]|\d+)\d?(?:\s*(?:,|/|&|\b(?:and|or|und|oder|et|ou|y|o)\b))+\s*(?:and|or)?\s*$")
_NAMED = re.compile(
    r"([^\W\d_][\w'’-]+)\s+[A-Z]\d?\s+(?:is|are|was|were|has|(?:would|will|could|should|might|may|must|can)\s+be)"
    r"\s+(?:[\w'’-]+\s+){0,2}[\W_]*$"
)


def _is_name(word: str) -> bool:
    """Whether a letter behind a word belongs to it: "plan B", "vitamin A"."""
    word = word.lower()
    return not (
        word in phrases.BEFORE_A_LETTER
        or word in phrases.FUNCTION_WORDS
        or (word.endswith("ly") and word not in ("family", "anomaly", "assembly", "supply"))
    )


def _of_another(sentence: str, mention: Mention) -> bool:
    """Whether an option is said of another thing, which has a letter in its name: "plan B would be …"."""
    found = _NAMED.search(sentence, _back(sentence, mention.start, 6), mention.start)
    return found is not None and _is_name(found[1]) and found[1].lower() not in phrases.SHOWN


def _head_of_list(text: str, end: int) -> str:
    """The text before the first of several letters, "vitamin " of "vitamin A, B and "; all up to `end` without them."""
    for _ in range(MOST_LINKED):
        found = _link(text, end)
        if found is None:
            break
        end = found
    return text[:end]


@functools.lru_cache(maxsize=64)
def _link(text: str, end: int) -> int | None:
    """Where the letter begins that is linked with what follows at `end`; None without one."""
    found = _LINKED.search(text, max(0, end - LINK), end)
    return None if found is None else found.start()


def _is_label(text: str, found: re.Match[str], final: str) -> bool:
    """Whether a bare capital letter is an option, no article or part of a name; `final` is the last one."""
    letter, behind, before = found["b"], text[found.end() :], text[: found.start()]
    if _is_abbreviated(before, found["mark"] + behind, final):
        return False
    before = _head_of_list(text, found.start())
    word_behind = re.match(r"[\s\"')\]]*([\w'’]+)", behind)
    last = _last_word(before[max(before.rfind("\n"), before.rfind(". "), before.rfind("; ")) + 1 :]).lower()
    fits_before = (
        not last
        or last in phrases.BEFORE_A_LETTER
        or (last.endswith("ly") and not _is_name(last))
        or "\u3040" <= last[-1] <= "\u9fff"
        or before.rstrip()[-1:] in tuple(',:;.!?(["/=→>-')
    )
    marked = bool(found["mark"])
    closed = (
        marked
        or not behind.strip()
        or bool(re.match(r"\s*[,;.:!?()\[\]\n\"/=。，、；：！？]|\s+[-–—]\s+(?![A-Z]\b)", behind))
        or bool(re.match(r"\s*(?:です|だ|である|が正|입니다|是正|正确)", behind))
    )
    follows = word_behind[1].lower() if word_behind else ""
    if letter == "I" and not marked:
        return closed and fits_before and bool(last)
    if (
        marked
        and found["mark"] == "."
        and letter not in "A"
        and re.match(r"\s+[A-Z][a-z]+", behind)
        and last
        and last not in phrases.BEFORE_A_LETTER
    ):
        return False  # an initial
    return fits_before and (closed or follows in phrases.FUNCTION_WORDS)


def _last_word(text: str) -> str:
    """The last run of letters, digits and apostrophes; empty without one."""
    end = len(text)
    while end and not (text[end - 1].isalnum() or text[end - 1] in "_'’"):
        end -= 1
    start = end
    while start and (text[start - 1].isalnum() or text[start - 1] in "_'’"):
        start -= 1
    return text[start:end]


_TITLE = re.compile(r"\b(?:Drs?|Mr|Mrs|Ms|Prof|St|Vit|vit|Hr|Fr|Mme|Sr|Sra)\.?\s*$")


@functools.cache
def _abbreviations(last: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """How an abbreviation goes on behind a letter, and ends before it."""
    other = rf"(?![A-{last}])[A-Z]"
    return (
        re.compile(rf"\.[A-Z](?![A-Za-z])|\.\s{other}\.|/{other}(?![A-Za-z])"),
        re.compile(rf"(?<![\w/]){other}/$|(?<![A-Za-z])[A-Za-z]\.$"),
    )


def _is_abbreviated(before: str, behind: str, last: str) -> bool:
    """Whether a letter is part of an abbreviation or an initial: "A.P. view", "A/P view" (of no option P), "Dr. B."."""
    begin, end = _abbreviations(last)
    return bool(begin.match(behind) or end.search(before[-4:]) or _TITLE.search(before[-12:]))


_CAPITAL = re.compile(r"[A-Z(\[{\"]")
_ORDINAL = re.compile(
    rf"\b(?=[{''.join({word[0] for word in phrases.ORDINALS})}])({'|'.join(phrases.ORDINALS)})"
    r"\s+(?:option|choice|answer|statement)\b",
    re.IGNORECASE,
)


@functools.cache
def _small(last: str) -> re.Pattern[str]:
    """A small letter up to `last` alone, before a bracket, a stop or an end."""
    own = f"[a-{last}]"
    return re.compile(rf"({own})(?<![\w'’&-]{own})(?=[).:](?:\s|$)|\s*(?:[,;!\n]|$))")


def _small_letters(text: str, count: int, taken: Sequence[tuple[int, int]]) -> list[Mention]:
    """Small letters right behind a cue ("Answer: b"), or at the head of the text before a bracket ("b) upright")."""
    last = LETTERS[count - 1].lower()
    found = []
    for m in _small(last).finditer(text):
        if any(a <= m.start() < b for a, b in taken):
            continue
        before = text[: m.start()]
        cue = _CUE_OF_LETTER.search(text, _back(text, m.start(), CUE_WORDS), m.start())
        head = text[m.end() : m.end() + 1] in (")", ":", ".") and not re.search(r"\w", before)
        option = re.search(
            r"\b(?:option|letter|choice|Antwort|respuesta|réponse)\s+$",
            before[max(0, _back(text, m.start(), 1) - 1) :],
            re.IGNORECASE,
        )
        if cue or head or option:
            found.append(
                Mention(start=m.start(), end=m.end(), option=LETTERS.lower().index(m[1]), letter=True, decorated=True)
            )
    return found


def _as_mediconfusion(reply: str, count: int) -> int | None:
    letter = mediconfusion_letter(reply)
    return None if letter == INVALID or count != 2 else LETTERS.index(letter)


def _as_blink(reply: str, count: int) -> int | None:
    letter = blink_letter(reply, count)
    place = None if letter == FAILED else LETTERS.index(letter[1])
    return place if place is not None and place < count else None


PUBLIC: dict[str, Callable[[str, int], int | None]] = {"mediconfusion": _as_mediconfusion, "blink": _as_blink}
"""Rules of published benchmarks, by name: the reply and the number of options give the option, or None."""

"""The phrases by which a reply answers, denies, refuses or corrects itself, in English, German, French and Spanish."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from slitlamp.answers.needles import Needles, alternatives, needles


def _any(*patterns: str) -> re.Pattern[str]:
    """One pattern of alternatives, in their order; those that begin a word are tried where a word begins alone."""
    parts: list[str] = []
    for start, some in groupby(alternatives("|".join(patterns)), key=lambda one: one.startswith(r"\b")):
        own = "|".join(one[2:] if start else one for one in some)
        parts.append(rf"\b(?=\w)(?:{own})" if start else own)
    return re.compile("|".join(parts), re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rare:
    """A pattern that few texts match, and what these must hold."""

    regex: re.Pattern[str]
    needles: Needles

    @classmethod
    def of(cls, *patterns: str, whole: Iterable[str] = ()) -> "Rare":
        """The pattern of these alternatives, which are the beginnings of `whole` where that is given."""
        found = needles("|".join(whole or patterns))
        assert found is not None
        return cls(regex=_any(*patterns), needles=found)

    def search(self, text: str) -> re.Match[str] | None:
        """The first match."""
        return self.regex.search(text) if self.needles.in_text(text) else None

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """All matches."""
        return self.regex.finditer(text) if self.needles.in_text(text) else iter(())

    def sub(self, new: str, text: str) -> str:
        """The text with something else for each match."""
        return self.regex.sub(new, text) if self.needles.in_text(text) else text


_NOUN = r"(?:answer|option|choice|response|prediction|label|letter|selection|reading)"
_BE = (
    r"(?:\s+(?:is|are|was|would be|should be|must be|has to be|appears to be|seems to be"
    r"|lautet|ist|est|es|sería|serait|wäre))"
)
_SIGN = r"\s*(?:[:=]|->|=>|→|：)"

CUE = Rare.of(
    rf"\b{_NOUN}(?:\s+(?:letter|option|choice|to (?:the|this) question))?(?:{_BE}(?:{_SIGN})?"
    rf"|{_SIGN})(?:\s+(?:that|dass|que))?\b",
    rf"\b{_NOUN}{_SIGN}",
    rf"\b(?:right|correct|best)\s+(?:one|{_NOUN}){_BE}(?:{_SIGN})?",
    rf"\b{_NOUN}{_BE}n['’]t\b",
    r"\bI(?:['’]d|\s+would|['’]ll|\s+will|\s+have to|\s+must)?(?:\s+(?:not|never))?\s+(?:choose|pick|select"
    r"|go with|say|answer|vote for|opt for)\b(?:\s+(?:option|answer|that))?",
    rf"\b(?:Antwort|Lösung|Option)(?:\s+(?:ist|lautet|wäre)(?:{_SIGN})?|{_SIGN})(?:\s+nicht)?",
    rf"\b(?:richtig|korrekt)\s+ist(?:{_SIGN})?(?:\s+(?:Antwort|Option))?",
    r"\bich\s+(?:wähle|nehme|sage)\b(?:\s+(?:Antwort|Option))?",
    rf"\b(?:réponse|option|choix|solution)(?:\s+(?:correcte|exacte|juste))?(?:\s+(?:est|serait)(?:{_SIGN})?|{_SIGN})",
    r"\bje\s+(?:choisis|réponds|dirais)\b(?:\s+(?:la réponse|l['’]option))?",
    rf"\b(?:respuesta|opción|solución)(?:\s+(?:correcta|final))?(?:\s+(?:es|sería)(?:{_SIGN})?|{_SIGN})",
    r"\b(?:elijo|escojo|respondo)\b(?:\s+la opción)?",
    rf"\b(?:risposta|resposta)(?:\s+(?:corretta|correta))?(?:\s+(?:è|é)(?:{_SIGN})?|{_SIGN})",
    r"答案(?:是|为|：|:)|正确(?:选项|答案)(?:是|为|：|:)|选(?:择)?(?=\s*[（(\[]?[A-Z])",
    r"(?:答え|正解|回答)(?:は|：|:)|(?:정답|답)(?:은|：|:)|\b(?:ответ|правильный ответ)(?:\s*[:：—-]|\s+это)",
)
"""What stands before an answer that is stated: `the answer is`, `Answer:`, `I choose`."""

STATED_BEHIND = _any(
    r"^\W*(?:is|are|would be|seems|must be|could(?: also)? be|might(?: also)? be|may(?: also)? be)\s+"
    r"(?:clearly\s+|therefore\s+|also\s+|both\s+|most likely\s+)?(?:the\s+)?(?:most\s+)?"
    rf"(?:correct|right|best|accurate|appropriate|likely)(?:\s+{_NOUN})?\b",
    rf"^\W*(?:is|would be)\s+(?:my|the)\s+(?:final\s+)?{_NOUN}\b",
    r"^\W*(?:ist|wäre)\s+(?:richtig|korrekt|die richtige Antwort)\b",
    r"^\W*(?:est|serait)\s+(?:la\s+)?(?:bonne réponse|correcte?|juste)\b",
    r"^\W*(?:es|sería)\s+(?:la\s+)?(?:respuesta correcta|correct[ao])\b",
)
"""What stands behind an option that is stated to be the answer: `B is correct`."""

CONCLUSION = _any(
    r"^\W*(?:step\s+\d+\W+)?(?:so|therefore|thus|hence|consequently|overall|in conclusion|in summary|to conclude"
    r"|finally|in total|altogether)\b",
    r"^\W*(?:daher|somit|deshalb|insgesamt)\b(?=[\s,:])",
    r"^\W*(?:donc|par conséquent|ainsi)\b",
    r"^\W*(?:por lo tanto|por tanto|entonces|en resumen)\b",
)

_LACK = r"\b(?:absence|lack) of"
LACK = Rare.of(_LACK)
NEGATION = Rare.of(
    r"\b(?:not|never|neither|nor|without|cannot|none|no|hardly|nothing)\b",
    r"n['’]t\b",
    r"\b(?:rules?|ruled|ruling)\s+out\b|\b(?:exclud\w+|eliminat\w+|reject\w*)\b|\binstead of\b"
    r"|\brather than\b|\bas opposed to\b|\bother than\b|\bexcept\b|\bunlike\b|\bfar from\b",
    r"\b(?:wrong|incorrect|false|untrue|a mistake)\s+(?:to|that)\b|\b(?:anything|everything|all) but\b",
    r"\b(?:doubt(?:s|ed|ful)?|unlikely|improbable|implausible|nobody|no one|used to be|formerly)\b"
    r"|\bfail(?:s|ed)? to\b|\blittle (?:evidence|reason|sign|chance)\b"
    rf"|\b(?:opposite|contrary|reverse) of\b|{_LACK}\s+(?:[\w'’]+\s+){{0,2}}$"
    r"|\b(?:negative for|free (?:of|from)|devoid of)\b",
    r"\bbezweif\w+|\bdoute(?:r|s|z)?\b|\bdud[oa]\b|¬|≠|!=|✗|✘|❌|\[\s?\](?=\s)",
    r"\b(?:nicht|kein(?:e|er|en|em|es)?|weder|noch nicht|niemals|ohne)\b",
    r"\b(?:ne|pas|jamais|aucune?|ni|sans)\b|\bn['’](?=[a-zéèê])",
    r"\b(?:tampoco|nunca|ningun[ao]|ningún|sin)\b",
    r"\b(?:non|não|nem)\b",
    r"不是|并非|不",
)
NO_NEGATION = Rare.of(
    r"\bnot (?:only|just|merely)\b",
    r"\b(?:no|little|without (?:a |any )?) ?(?:doubt|question)\b",
    r"\bnicht nur\b|\bzweifellos\b|\bohne Zweifel\b",
    r"\bpas seulement\b|\bsans (?:aucun )?doute\b",
    r"\bno sólo\b|\bno solo\b|\bsin duda\b",
    r"\bnot to mention\b",
)
NEGATED_CUE = _any(
    r"(?:n['’]t|\bnot|\bnever)\s+(?:really\s+)?(?:think|believe|agree|say|claim|mean|suppose"
    r"|conclude)\s*(?:that\s*)?(?:the\s*)?(?:correct\s*|right\s*)?$",
    r"\bnot\s+(?:the\s+)?(?:correct\s+|right\s+)?$",
    r"\b(?:incorrect|wrong|false)\s+$",
)
NEGATED_BEHIND = _any(
    r"^[\s)\]\"'”]*(?:is|are|was|were|would be|can be|could be|may be|seems|appears|looks|does|do|did|can"
    r"|could|must|should|has|been|be)\s+(?:also\s+|clearly\s+|therefore\s+|definitely\s+"
    r"|probably\s+)?(?:been\s+)?(?:not|never|wrong|incorrect|false|untrue|unlikely|inaccurate|implausible"
    r"|ruled out|excluded|eliminated|rejected|impossible)\b",
    r"^[\s)\]\"'”]*(?:is|does|ca|wo|could|would|should|are|was)n['’]t\b",
    r"^[\s)\]\"'”]*(?:can|could|must)not\b",
    r"^[\s)\]\"'”:–-]*(?:wrong|incorrect|false|ruled out|excluded)\b",
    r"^[\s)\]\"'”]*(?:✗|✘|❌|!=|≠)",
    r"^[\s)\]\"'”]*(?:\w+\s+)?(?:is|are|seems|appears)\s+(?:much\s+|far\s+)?less\s+(?:likely|probable|plausible)\b",
    r"^\s*(?:dot|circle|point|marker|one|option|box|arrow|side|answer|choice|line|region)\s+"
    r"(?:is|are|was|does|did|can|could)(?:\s+not\b|n['’]t\b|not\b)",
    r"^[)\]\"'”]*\s*[:=–-]\s*(?:no|not|nein|non|nicht)\b",
    r"^[\s)\]\"'”]*(?:ist|wäre|ist es|trifft)\s+(?:nicht|falsch|ausgeschlossen)\b",
    r"^[\s)\]\"'”]*(?:n['’]est pas|est faux|est fausse|est exclue?)\b",
    r"^[\s)\]\"'”]*(?:no es|es incorrect[ao]|es fals[ao])\b",
)
_LAST_OF_LIST = r"\s(?:or|nor|noch|oder|ou|ni)\s+(?:[\w'’-]+\s+){0,2}$"
LAST_OF_LIST = re.compile(_LAST_OF_LIST, re.IGNORECASE)
NEGATED_LIST = re.compile(
    rf"\b(?:no|not|without|neither|nor|kein\w*|ohne|sans|pas|sin)\b[^.;:!?]*,?{_LAST_OF_LIST}", re.IGNORECASE
)
"""What stands before the last of several things that are denied together: `no effusion, or pneumothorax`."""
ABSENT = _any(
    r"^[\s)\]\"'”]*(?:is|are|was)\s+(?:absent|(?:not|never)\s+(?:present|seen|visible|identified|evident|detected))\b",
    r"^[\s)\]\"'”]*(?:absent|excluded|ruled out|not (?:present|seen|visible|identified|evident|detected))\b",
    r"^[)\]\"'”]*\s*[:=–-]\s*(?:none|absent|negative|nil|no|nein|non|keiner?|aucune?|ningun[oa])\b",
)
"""What stands behind a finding that is not there, so that the option without it is named."""
_NEUTRAL = (  # how each begins, and how it goes on
    (
        r"\b(?:than|versus|vs\.?|compared (?:to|with)|in contrast to|relative to|considering|comparing|between)",
        r"\s+(?:[\w'’]+\s+){0,2}[\W_]*$",
    ),
    (r"\b(?:whether|ob|wenn|falls)\b", r"[^,]*$"),
    (r"\bif\b", r"(?! I (?:had|have) to)[^,]*$"),
    (r"\bas\s+(?!well\b)", r"[\w'’]+\s+as\s+(?:[\w'’]+\s+){0,1}$"),
    (r"\b(?:to|in order to)\s+(?:make|get|turn|render|bring|put)\s+", r"(?:it|this|them|the \w+)\s+$"),
    (
        r"\b(?:(?:needs?|ought|rotated|turned|flipped)\b|(?:has|had|have)\s+to\s+be\b)",
        r"(?:\s+[\w'’]+){0,5}?\s+to\s+(?:be|become|appear|look)\s+$",
    ),
    (
        r"\b(?:some|others|most|many|(?:most |some |many )?people|you|they|someone|somebody|the user"
        r"|one (?:could|might|may|would))\s+",
        r"(?:[\w'’]+\s+){0,2}?"
        r"(?:say|answer|think|claim|believe|argue|guess|assume|call|choose|pick|suppose|expect)(?:s|ed|d)?\b[^,;]*$",
    ),
    (
        r"\b(?:while|although|though|even though)\b",
        r"[^,;]*\b(?:may|might|could|first (?:glance|sight))\b[^,;]*$",
    ),
    (
        r"\b(?:history of|status post|(?:evaluate|assess|look|check) for|question of|at least|at most|up to)\s+",
        r"(?:an?\s+)?$",
    ),
)
OPENING = Rare.of(*(opening for opening, _ in _NEUTRAL), whole=[opening + rest for opening, rest in _NEUTRAL])
NEUTRAL = _any(*(opening + rest for opening, rest in _NEUTRAL))
"""What stands before an option that is only compared with, or supposed."""
SUPPOSED = (
    (
        re.compile(r"\b(?:an?|any|every|normal|typical|usual|standard|properly|correctly)\s+$", re.IGNORECASE),
        re.compile(r"^\s*(?:[\w'’-]+\s+){0,5}?(?:would|should|ought to)\b", re.IGNORECASE),
    ),
    (
        re.compile(r"\b(?:would|should|could|might)\s+(?:[\w'’]+\s+)?(?:be|appear|look)\s+(?:an?\s+|the\s+)?$", re.I),
        re.compile(r"^[^.;]*\b(?:if|but|were|had it|once|after)\b", re.IGNORECASE),
    ),
)
"""What stands before and behind an option that a general or another case is of.

`in an upright film the heart would …`, `it would be upright if …`.
"""

BOUNDARY = _any(
    r"[,;!?。，；]|\.(?=\s|$)|\n|\s[-–—]\s|—",
    r"(?<!anything )(?<!everything )(?<!\ball )\b(?:but"
    r"|however|though|although|because|since|so|therefore|thus|hence|yet|whereas|while"
    r"|instead"
    r"|and (?:is|it|the|this|that|so|therefore))\b",
    r"\b(?:sondern|aber|jedoch|weil|daher|und (?:ist|es|die|das))\b",
    r"\b(?:mais|cependant|car|donc|et (?:est|il|elle|la|le))\b",
    r"\b(?:sino|pero|porque|y (?:es|está|la|el))\b",
)
AFTER_NEGATION = re.compile(r"(\bnot|n['’]t|\bnicht|\bpas)\s*,[^,.;\n]{1,40},\s*", re.IGNORECASE)

REFUSAL = Rare.of(
    r"\bI(?:['’]m| am)?\s*(?:sorry\b|unable to\b|not able to\b|not sure\b|not certain\b|uncertain\b)",
    r"\b(?:I|we|one)\s+(?:cannot|can['’]t|can not|could not|couldn['’]t|am not able to|are not able to|do not"
    r"|don['’]t|won['’]t|will not)\s+(?:\w+\s+){0,2}(?:help|assist|answer|determine|tell|say|provide|see|view"
    r"|identify|know|assess|judge|interpret|ascertain|analy[sz]e|comply|give|make|diagnose|read|be (?:sure"
    r"|certain))\b",
    r"\bcan(?:not|['’]t| not) be (?:determined|answered|assessed|seen|judged|identified|decided|told|known"
    r"|read|said)\b",
    r"\bno way (?:to|of)\b",
    r"\b(?:not|im)\s?possible to (?:\w+\s+)?(?:tell|say|determine|answer|know|assess|judge|see|ascertain)\b",
    r"\b(?:is|are|remains?|it['’]s)\s+(?:un(?:clear|certain|known)|not (?:clear|certain|known|possible))\b",
    r"\b(?:insufficient|not enough) (?:information|data|context|detail)\b",
    r"\bas an? (?:AI|language model)\b",
    r"\bno (?:idea|image|picture)(?: (?:was|is))?\s*(?:provided|attached|given|shown|available)?\s*[.!]?$",
    r"\bfailed to obtain answer\b",
    r"\b(?:ich kann (?:das |es |dies )?(?:leider )?nicht|tut mir leid|(?:ist|bleibt) unklar"
    r"|weiß (?:ich )?(?:es )?nicht|nicht (?:zu )?(?:erkennen|beurteilen|bestimmen|bestimmbar|beantworten))",
    r"(?:\bje ne (?:peux|sais|suis) pas|\bdésolée?\b|\bimpossible (?:de|à) (?:dire|déterminer|savoir)"
    r"|\bn['’]est pas possible|\b(?:est|reste) incertain)",
    r"\b(?:no puedo|lo siento|no es posible|no (?:lo )?sé|no está claro|no se puede)\b",
    r"\b(?:non posso|mi dispiace|não posso|desculpe)\b",
    r"无法|抱歉|对不起|不确定|不能",
)
DESPITE = _any(
    r"\b(?:but|however|nevertheless|nonetheless|still|that said|if I (?:had|have) to|most likely|best guess|likely)\b",
    r"\b(?:aber|jedoch|trotzdem|wahrscheinlich|am ehesten)\b",
    r"\b(?:mais|cependant|probablement)\b",
    r"\b(?:pero|sin embargo|probablemente)\b",
)
WITHDRAWN = Rare.of(
    r"\bwait\b",
    r"\bscratch that\b|\bon second thoughts?\b|\bcorrection\b\s*[:,.]|\b(?:upon|on) (?:re-?examination"
    r"|reconsideration|closer (?:look|inspection))\b",
    r"\blet me (?:re-?\w+|correct|check again|think again|look again)\b",
    r"\bI (?:was|am) (?:wrong|mistaken|in error)\b|\bI made an? (?:mistake|error)\b|\bI (?:take|took) (?:that"
    r"|it) back\b|\bI (?:change|changed|must change) my (?:mind|answer)\b",
    r"\b(?:nein,?\s+)?Moment\b|\bich korrigiere\b|\bKorrektur\b",
    r"\battend(?:ez|s)\b|\bje me corrige\b",
    r"\bespere?\b|\bme corrijo\b|\bcorrijo\b",
)
TURNED = Rare.of(
    r"(?<=[\w.)\"'”…])\s*[,.…–—-]?\s*\bactually\b[,:]?(?=\s)",
    r"[,.…—–-]\s*\b(?:no|sorry|nein|non)\s*[,.:]\s*",
    r"\bor rather\b|\bI mean\b,?|\bI meant\b",
    r"\bvielmehr\b|\bo mejor dicho\b|\bou plutôt\b",
)
"""A milder turn: it counts only where another option follows it."""

FUNCTION_WORDS = frozenset(
    {
        "is", "are", "was", "were", "would", "could", "should", "seems", "appears", "looks", "must", "and", "or", "but",
        "nor", "because", "since", "as", "so", "if", "when", "for", "with", "not", "here", "rather", "instead", "based",
        "which", "only", "both", "ist", "und", "oder", "aber", "weil", "nicht", "est", "et", "ou", "mais", "car", "es",
        "y", "o", "pero", "porque", "can", "cannot", "can't", "isn't", "doesn't", "does", "has", "may", "might",
    }
)  # fmt: skip
BEFORE_A_LETTER = frozenset(
    {
        "is", "are", "be", "option", "options", "answer", "answers", "choice", "choices", "letter", "letters", "point",
        "image", "picture", "figure", "panel", "label", "labelled", "labeled", "choose", "pick", "select", "chose",
        "picked", "selected", "say", "with", "and", "or", "nor", "neither", "either", "both", "not", "but", "than",
        "so", "therefore", "thus", "hence", "to", "isn't", "between", "considering", "of", "from", "rule", "exclude",
        "excludes", "excluded", "out", "against", "only", "would", "as", "statement", "alternative", "candidate",
        "case", "box", "dot", "circle", "region", "number", "think", "believe", "prefer", "it's", "that's", "ist",
        "antwort", "buchstabe", "oder", "und", "nicht", "sondern", "noch", "weder", "est", "réponse", "lettre", "ou",
        "et", "pas", "mais", "ni", "es", "respuesta", "letra", "opción", "y", "o", "sino", "è", "é", "risposta",
        "resposta", "für", "wähle", "definitely", "probably", "clearly", "likely", "la", "die", "towards", "toward",
        "c'est", "that", "yet", "then", "also", "donc", "alors", "luego", "eher", "plutôt", "wäre",
    }
)  # fmt: skip
SHOWN = frozenset(
    {
        "patient", "film", "scan", "x-ray", "ray", "radiograph", "slice", "view", "photo", "photograph", "frame",
        "study", "exam", "subject", "child", "person", "man", "woman", "specimen",
    }
)  # fmt: skip
"""What is asked about, so that a letter behind it makes no other thing of it: `patient A is upright`."""
TICK = re.compile(
    r"[\s|:=–—-]+(?:(?P<yes>yes|true|correct|ja|richtig|oui|vrai|sí|✓|✔|✅|☑)"
    r"|(?P<no>no|false|wrong|incorrect|nein|falsch|non|faux|✗|✘|❌|☒))[\s|.;,]*$",
    re.IGNORECASE,
)
"""What ends a line of a list that judges each option by itself."""
ORDINALS = ("first", "second", "third", "fourth", "fifth")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

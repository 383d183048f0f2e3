"""Names that break what does not expect them: mark-up, formulas, commands, directions, and far too many letters."""

NAMES = (
    "<script>document.title='taken'</script>",
    "</script><script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "{{7*7}} {% raw %} {# x #} ${7*7}",
    "]]> <!-- --> &lt; &amp;amp;",
    "\"double\" 'single' `back` ''two'' \"\"",
    "line\u2028separator\u2029paragraph",
    "right\u202eto left\u2066 isolate",
    "x" * 10_000,
    "\x1b[31mred\x1b[0m \x1b]0;taken\x07",
    "=cmd|' /C calc'!A0",
    "+1+cmd", "-2-cmd", "@SUM(1)", "\t=tab",
    "50 % & # $ _ ^ ~ \\ {open",
    "\\input{/etc/passwd} \\write18{id} \\end{document}",
    "$(touch taken) `touch taken` ; rm -x",
    "line\nbreak\r\nreturn\ttab",
    "../../taken",
    "..", "CON", ".hidden", " leading and trailing ",
    "\U0001f600\U0001f469\u200d\U0001f52c emoji",
    "_^&#[x]*|<>",
    "[x] \\\\ & --- ,, ?` !`",
    "Größe naïve łódź ĲĳÐ Ωμέγα",
    "кириллица 漢字 العربية",
    "W" * 60, "bell\x07 zero\u200bwidth\ufeff",
    "lone\udce9byte", "nul\x00byte",
    "javascript:alert(1)", "![x](javascript:alert(1)) [a](b) **b** | c",
)  # fmt: skip
SHORT = tuple(name for name in NAMES if len(name) < 250)
IN_FILES = tuple(  # that a disk takes as they are
    name for name in SHORT if not set("/\0\udce9") & set(name) and name != ".." and name.strip() == name
)

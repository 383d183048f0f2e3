"""Why two runs cannot be compared: the difference, named."""

from slitlamp.comparison.arms import DECODE, Asked, decode_of, flag_of, held, points_of
from slitlamp.errors import UsageError
from slitlamp.records import Record
from slitlamp.reports.text import cut
from slitlamp.runs import StoredRun

OF_FOLDS = ("seed", "folds", "repeats", "permutations")


def why_apart(a: StoredRun, b: StoredRun, asked: Asked) -> str:
    """What keeps two runs from being compared, in words; empty where nothing does."""
    mine, theirs = ({r.task: r for r in reversed(points_of(run, asked))} for run in (a, b))
    shared = [task for task in mine if task in theirs]
    if not shared:
        return f"no question in common ({', '.join(mine) or 'none'}; {', '.join(theirs) or 'none'})"
    found = dict.fromkeys(line for task in shared for line in _reasons(a, mine[task], b, theirs[task]))
    return "; ".join(found)


def _reasons(a: StoredRun, one: Record, b: StoredRun, other: Record) -> list[str]:
    found, pixels = [], []
    if one.plan_key != other.plan_key:
        found += _of_plans(a, one, b, other)
    limited = [run.name for run, r in ((a, one), (b, other)) if r.limited]
    if len(limited) == 1:
        found.append(f"{limited[0]} is limited (--limit)")
    if one.plan_key == other.plan_key and (one.data_key != other.data_key or decode_of(a) != decode_of(b)):
        pixels.append(_of_pixels(a, one, b, other))
    for name in dict.fromkeys((*held(a), *held(b))):
        if flag_of(a, name) != flag_of(b, name):
            found.append(f"other {name.replace('_', ' ')} ({flag_of(a, name)}; {flag_of(b, name)}): --over {name} "
                         "compares that")  # fmt: skip
    if not found and one.encoder == other.encoder and _network(one) != _network(other):
        found.append(f"{one.encoder} has other weights ({one.weights}; {other.weights})")
    return [*found, *pixels]


def _network(record: Record) -> str:
    """What a record says of its weights, without the size of the image."""
    return ", ".join(part for part in record.weights.split(", ") if not part.startswith("at "))


def _of_pixels(a: StoredRun, one: Record, b: StoredRun, other: Record) -> str:
    """The same items seen in other pixels: by how they were decoded, or because files changed."""
    mine, theirs = (run.questions[r.task].get("decode", {}) for run, r in ((a, one), (b, other)))
    entries = [key for key in dict.fromkeys((*mine, *theirs)) if mine.get(key) != theirs.get(key)]
    flags = [name for name in DECODE if flag_of(a, name) != flag_of(b, name)]
    if not entries and not flags:
        return "the same items with other pixels (the image files have changed, or lie elsewhere with other content)"
    names = [f"{key} {cut(str(mine.get(key)), 40)} and {cut(str(theirs.get(key)), 40)}" for key in entries] or flags
    over = f": --over {flags[0]} compares that" if len(flags) == 1 else ""
    return f"other decode policy ({', '.join(names)}){over}"


def _of_plans(a: StoredRun, one: Record, b: StoredRun, other: Record) -> list[str]:
    """In what two plans differ."""
    try:
        mine, theirs = a.material(one.plan_key), b.material(other.plan_key)
    except UsageError as error:
        return [str(error)]
    if mine["classes"] != theirs["classes"]:
        kinds = [("a number" if m["classes"] is None else f"classes {', '.join(m['classes'])}") for m in (mine, theirs)]
        return [f"other answers ({'; '.join(kinds)})"]
    places = [{name: i for i, name in enumerate(m["ids"])} for m in (mine, theirs)]
    common = [name for name in places[0] if name in places[1]]
    found = []
    apart = not set(mine["groups"]) & set(theirs["groups"])
    if len(common) < max(len(places[0]), len(places[1])):
        found.append(
            f"other items: {len(common)} in common of {len(places[0])} in {a.name} and {len(places[1])} in {b.name}"
            + ("; --unpaired compares sets of other patients" * apart)
        )
    for what, key in (("groups", "groups"), ("answers", "answers")):
        changed = [n for n in common if mine[key][places[0][n]] != theirs[key][places[1][n]]]
        if changed:
            found.append(f"other {what} for {len(changed)} of {len(common)} items in common ({changed[0]} …)")
    settings = [name for name in OF_FOLDS if mine["asked"].get(name) != theirs["asked"].get(name)]
    if settings:
        said = (f"--{n} {_asked(mine, n)} and {_asked(theirs, n)}" for n in settings)
        found.append(f"other {'permuted labels' if settings == ['permutations'] else 'folds'} ({', '.join(said)})")
    if not found and _sources(mine) != _sources(theirs):
        found.append("other source images of the items")
    if not found and mine["ids"] != theirs["ids"]:
        found.append("the items stand in another order")
    if not found:
        found.append(f"folds of another version of the statistics ({one.code_version}; {other.code_version})")
    return found


def _sources(made: dict) -> dict[str, str] | None:
    """The image that each item is a copy of, whatever their order; None where none is."""
    return None if made["copies"] is None else dict(zip(made["ids"], made["copies"], strict=True))


def _asked(made: dict, name: str) -> str:
    value = made["asked"].get(name)
    return "default" if value is None else str(value)

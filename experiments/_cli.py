"""The command line: one frozen value per run, from flags and an optional TOML file."""

import argparse
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from plugins import nearest
from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.reports.text import wide
from slitlamp.settings import FLAGS, OF_MAPS, Settings, checked, unused_of_maps

if TYPE_CHECKING:
    from slitlamp.commands import Command
    from slitlamp.reports.result import CommandResult


class _One(argparse.Action):
    """A flag of one value: given again with another the last one holds, and that is said."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:  # noqa: ARG002
        seen = namespace.__dict__.setdefault("_seen", {})
        if option is not None and self.dest in seen and str(seen[self.dest]) != str(values):
            say(f"warning: {option} takes one value: {values} holds, and not {seen[self.dest]}")
        seen[self.dest] = values
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """Lists add up over repeated flags, of a single value the last holds, and a mistake is one line."""

    def parse_known_args(self, *args: Any, **more: Any) -> Any:
        namespace, rest = super().parse_known_args(*args, **more)
        namespace.__dict__.pop("_seen", None)
        return namespace, rest

    def error(self, message: str) -> NoReturn:
        what, _, rest = message.partition(": ")
        if what == "unrecognized arguments":
            raise _unknown(rest.split(), [flag for action in self._actions for flag in action.option_strings])
        raise UsageError(f"{message} (--help lists the flags)")


GROUPS: Mapping[str, tuple[str, ...]] = {  # of the help, each with its flags in their order
    "what is asked": ("task", "label", "classes", "number", "not_missing", "evidence"),
    "images": (
        "data", "group", "image_column", "window", "intercept", "exif", "volumes", "unreadable", "copies", "spelling",
        "items", "limit", "take_groups", "draw",
    ),
    "encoders": (
        "encoder", "site", "readout", "weights", "other_weights", "image_size", "offline", "device", "dtype",
        "compile", "batch_size",
    ),
    "probe and statistics": (
        "probe", "folds", "repeats", "permutations", "reference", "twins", "pool", "seed",
        "probe_device", "jobs",
    ),
    "output": ("out", "replace", "table", "json", "dry_run", "config", "debug"),
}  # fmt: skip
OWN = "this command"


def described(doc: str | None) -> str:
    """The docstring of a command as its help shows it: examples as they stand, prose as wide as the terminal."""
    parts = [part.strip() for part in (doc or "").strip().split("\n\n")]
    return "\n\n".join(part if part.startswith("$") else textwrap.fill(part, wide(100)) for part in parts)


def where_to_start(command: str) -> str:
    """How a command is started in the clone, and from another folder."""
    return textwrap.fill(
        f"In the clone: ./uv run python -m experiments.{command} …; from another folder with the clone's own Python: "
        f"CLONE/.venv/bin/python -m experiments.{command} …",
        wide(100), break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def command_parser(command: str, doc: str | None) -> argparse.ArgumentParser:
    """The parser of a command that has flags of its own; `doc` is the module's docstring."""
    parser = _Parser(
        prog=f"python -m experiments.{command}",
        usage=f"python -m experiments.{command} [FLAG …]",
        description=described(doc),
        epilog=where_to_start(command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def make_parser(
    command: str,
    doc: str,
    names: Sequence[str] | None = None,
    required: Sequence[str] = (),
    default: Settings | None = None,
    about: Mapping[str, str] | None = None,
    extra: Mapping[str, "Field[Any]"] | None = None,
    positional: str = "",
) -> argparse.ArgumentParser:
    """A parser of the flags that `Settings` has, or of those called `names`; flags that are not given stay absent.

    `default` are the settings that the help shows, `about` what it says of a flag instead of the usual,
    `extra` flags that this command alone has, `positional` the one of them that is written without its name.
    """
    parser = _Parser(
        prog=f"python -m experiments.{command}",
        usage=f"python -m experiments.{command}{f' {positional.upper()} …' if positional else ''} [FLAG …]",
        description=described(doc),
        epilog=where_to_start(command.split()[0]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    default = default or Settings()
    every = [FLAGS[name] for many in GROUPS.values() for name in many if names is None or name in names]
    grouped = {name: title for title, many in GROUPS.items() for name in many} | dict.fromkeys(extra or (), OWN)
    groups: dict[str, Any] = {}
    for entry in [*(extra or {}).values(), *(one for one in every if one.name not in (extra or {}))]:
        title = grouped[entry.name]
        if entry.name == positional:
            within: Any = parser
        else:
            within = groups[title] = groups.get(title) or parser.add_argument_group(title)
        meta: dict[str, Any] = dict(entry.metadata) | ({"required": True} if entry.name in required else {})
        text = (about or {}).get(entry.name, str(meta.pop("help")))
        meta.pop("help", None)
        name = entry.name if entry.name == positional else "--" + entry.name.replace("_", "-")
        if entry.type is bool:
            within.add_argument(name, action="store_true", help=text)
            continue
        kind = int if "int" in str(entry.type) else float if "float" in str(entry.type) else str
        if "tuple" in str(entry.type):
            meta |= {"nargs": "*" if entry.name == positional else "+", "action": "extend"}
            kind = str
        else:
            meta["action"] = _One
        value = default.flag(entry.name) if entry.name in FLAGS else default_of(entry)
        shown = " ".join(value) if isinstance(value, tuple) else value
        text += f" (default: {shown})" if shown not in (None, "") else ""
        hidden = names is None and entry.name in OF_MAPS  # known, so that it is refused in words
        within.add_argument(name, type=kind, help=argparse.SUPPRESS if hidden else text.replace("%", "%%"), **meta)
    return parser


def default_of(entry: "Field[Any]") -> Any:
    """What a flag is where it is not given."""
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def _unknown(rest: Sequence[str], known: Sequence[str]) -> UsageError:
    given = next((a for a in rest if a.startswith("-")), rest[0])
    if not given.startswith("-"):
        from slitlamp.reports.listing import article, kinds_of

        kinds = [kind for kind in kinds_of(given) if f"--{kind}" in known]
        fitting = [f"{given} is {article(kind)}: say --{kind} {given}" for kind in kinds]
        said = fitting[0] if fitting else "a value stands behind its flag; --help lists the flags"
        return UsageError(f"unrecognised argument {given}; {said}")
    near = nearest(given.split("=")[0], known)
    hint = f"; did you mean {near}?" if near else "; --help lists the flags"
    return UsageError(f"unrecognised argument {given}{hint}")


def _from_file(path: str) -> dict[str, Any]:
    """The keys of a TOML file, each of them a flag; an unknown key is an error."""
    try:
        loaded = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}") from None
    known = FLAGS
    values: dict[str, Any] = {}
    for key, value in loaded.items():
        name = key.replace("-", "_")
        if name not in known or name == "config":
            near = nearest(name, known)
            raise UsageError(f"--config {path}: unknown key {key!r}" + (f"; did you mean {near!r}?" if near else ""))
        kind = known[name].type
        values[name] = _typed(path, key, value, getattr(kind, "__name__", None) or str(kind))
        choices = known[name].metadata.get("choices")
        if choices and value not in choices:
            raise UsageError(f"--config {path}: {key} = {value!r} is none of {', '.join(choices)}")
    return values


def _typed(path: str, key: str, value: Any, kind: str) -> Any:
    if kind.startswith("tuple"):  # of names
        value = [value] if isinstance(value, str) else value
        fits = isinstance(value, list) and all(isinstance(v, str) for v in value)
        value = tuple(value) if fits else value
    elif "bool" in kind:
        fits = isinstance(value, bool)
    elif "int" in kind:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif "float" in kind:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if fits else value
    else:
        fits = isinstance(value, str)
    if not fits:
        raise UsageError(f"--config {path}: {key} = {value!r} is not of type {kind.replace(' | None', '')}")
    return value


def parse(argv: Sequence[str], command: str, doc: str) -> Settings:
    """Flags over the TOML file over the defaults; UsageError on anything that does not fit."""
    flags = flags_of(make_parser(command, doc), argv)
    if "config" in flags:
        flags = _from_file(flags["config"]) | flags
    unused_of_maps(flags, command)
    return checked(Settings.of(**flags))


def flags_of(parser: argparse.ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """The flags that were given, lists as tuples; UsageError with the nearest name for one that is unknown."""
    known, rest = parser.parse_known_args(list(argv))
    if rest:
        raise _unknown(rest, [a for action in parser._actions for a in action.option_strings])
    return {k: tuple(v) if isinstance(v, list) else v for k, v in vars(known).items()}


def answer_one_of(commands: Mapping[str, "Command"], doc: str, argv: Sequence[str]) -> int:
    """Answer the command that `argv` names first, of several under one name, or list them; give the exit code.

    `doc` is the docstring of their module.

    Raises:
        UsageError: none is named, or one that is not there.
    """
    from experiments._exit import DONE
    from slitlamp.commands import one_of

    if argv and argv[0] not in ("-h", "--help"):
        asked = one_of(commands, argv[0])
        return answer(asked, f"Find {asked.about}.", argv[1:])
    under = next(iter(commands.values())).under
    lines = [f"  {one.name:12}{one.about}" for one in commands.values()]
    print(
        f"usage: python -m experiments.{under} COMMAND … (COMMAND --help lists its flags)\n\n{doc}\n" + "\n".join(lines)
    )
    if not argv:
        raise UsageError(f"name a command: {', '.join(commands)}")
    return DONE


def answer(asked: "Command", doc: str, argv: Sequence[str]) -> int:
    """Answer a command of its own flags on stdout, say where its files lie, and give the exit code."""
    prog = f"{asked.under} {asked.name}" if asked.under else asked.name
    shown = [f"$ python -m experiments.{prog} {example}".rstrip() for example in asked.examples]
    doc = "\n\n".join([doc, *(["\n".join(shown)] if shown else [])])
    parser = make_parser(prog, doc, asked.flags, default=asked.default, extra=asked.extra, positional=asked.positional)
    flags = flags_of(parser, argv)
    json = flags.pop("json", False)
    return told(asked.run(flags), as_json=json)


def told(result: "CommandResult", *, as_json: bool) -> int:
    """Print what a command found, or its document, sum up on stderr, and give the exit code."""
    from experiments._exit import DONE, PARTIAL

    print(result.to_json() if as_json else result, end="" if as_json else "\n")
    say(result.summary)
    return PARTIAL if result.failed else DONE

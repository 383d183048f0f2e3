"""A command with flags of its own: what it is asked for, the line that repeats it, and the function that answers."""

import importlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.settings import FLAGS, UNSAID, Settings, each_once, folder_of_its_own, line_of

if TYPE_CHECKING:
    from slitlamp.reports.result import CommandResult

OF_PHANTOMS = ("items", "task")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command: its help, its flags, its defaults, its checks, and the module and function that run it.

    `asks` names the encoders that encode what a probe would, where the command can say beforehand what that takes
    (--dry-run), or `price` the function that says it; `unpriced` is what else takes time. `examples` are what its help
    shows behind its name. `unsaid` are flags that its line leaves out, as they change no number; `unwritten` tells
    where nothing is written. `under` is the file in experiments/ that holds it among others, `positional` a flag that
    is written without its name, `of_answers` says that its folder is named by the question too, `words` by what else it
    is named than by encoders.
    """

    name: str
    about: str
    own: type
    flags: tuple[str, ...]
    default: Settings
    check: Callable[[Settings, Any], None]
    home: str
    under: str = ""
    positional: str = ""
    of_answers: bool = False
    words: Callable[[Any], tuple[str, ...]] | None = None
    price: str = ""
    asks: Callable[[Settings, Any], tuple[str, ...]] | None = None
    unpriced: str = ""
    examples: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    unwritten: Callable[[Any], bool] | None = None

    @property
    def extra(self) -> Mapping[str, "Field[Any]"]:
        """The flags that this command alone has."""
        return own_flags(self.own)

    def run(self, given: Mapping[str, Any]) -> "CommandResult":
        """Answer for the flags that were given; UsageError where they do not fit."""
        own = self.own(**{k: v for k, v in given.items() if k in self.extra})
        settings = self.default.but(**{k: v for k, v in given.items() if k not in self.extra})
        settings = settings.but(**{k: settings_of(self, settings).flag(k) for k in OF_PHANTOMS if k not in given})
        settings = each_once(settings)
        self.check(settings, own)
        line = self.line(settings, own)
        if settings.output.out == "":
            source = settings.source
            asked = (source.task or ((source.label,) if source.label else ("orientation",))) if self.of_answers else ()
            home = f"{self.under}/{self.name}" if self.under else self.name
            names = settings.encoder.encoder if self.words is None else self.words(own)
            settings = settings.but(out=folder_of_its_own(home, names, asked, self.line(settings, own, whole=True)))
        answer = _function(self.home)
        if settings.output.dry_run and (self.price or self.asks is not None):
            who = f"{self.under} {self.name}".strip()
            if self.asks is None:
                return _function(self.price)(settings, own, line, who, self.unpriced)
            encoders = self.asks(settings, own)
            price = _function("slitlamp.ablation.priced.priced")
            return price(settings.but(encoder=encoders, out=None), line, who, self.unpriced)
        if settings.output.out is None or (self.unwritten is not None and self.unwritten(own)):
            return answer(settings, own, line)
        from slitlamp.disk import output_folder

        with output_folder(Path(settings.output.out), "results.json", line, replace=settings.output.replace):
            return answer(settings, own, line).written(Path(settings.output.out))

    def call(self, given: Mapping[str, Any]) -> "CommandResult":
        """Answer for keyword arguments, as a notebook gives them; without `out` nothing is written.

        Raises:
            UsageError: an argument that is none, of another type, or none of its choices.
        """
        from slitlamp.api import typed

        known = {flag: FLAGS[flag] for flag in self.flags if flag not in ("json", "dry_run", "debug")} | dict(
            self.extra
        )
        values: dict[str, Any] = {"out": None}
        for flag, value in given.items():
            if flag not in known:
                raise UsageError(f"no argument {flag!r}; {hint(flag, known)}there are {', '.join(known)}")
            entry = known[flag]
            values[flag] = typed(flag, value, str(getattr(entry.type, "__name__", entry.type)))
            choices: tuple[str, ...] = entry.metadata.get("choices") or ()
            many = values[flag] if isinstance(values[flag], tuple) else (values[flag],)
            for one in many:
                if choices and one is not None and one not in choices:
                    raise UsageError(f"{flag}={one!r} is none of {', '.join(choices)}")
        return self.run(values)

    def line(self, settings: Settings, own: Any, *, whole: bool = False) -> str:
        """The command line that repeats the run, but not where output went; see `settings.command_line`."""
        words = ["python", "-m", f"experiments.{self.under or self.name}", *([self.name] if self.under else [])]
        words += getattr(own, self.positional) if self.positional else ()
        for name in self.flags:
            value = settings.flag(name)
            if name in (*UNSAID, *self.unsaid) or (
                value == settings_of(self, settings).flag(name) and name != "encoder"
            ):
                continue
            words += _words(name, value)
        plain = self.own()
        for name in self.extra:
            if name in (self.positional, *self.unsaid):
                continue
            if getattr(own, name) != getattr(plain, name):
                words += _words(name, getattr(own, name))
        return shlex.join(words) if whole else line_of(words)


def _function(path: str) -> Any:
    """The function of that name in its module."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def one_of(commands: Mapping[str, Command], name: str) -> Command:
    """The command of that name among several; UsageError with the nearest."""
    if name not in commands:
        raise UsageError(f"no command {name!r}; {hint(name, commands)}there are {', '.join(commands)}")
    return commands[name]


def settings_of(command: Command, settings: Settings) -> Settings:
    """A command's defaults; beside --data those of phantoms have nothing to act on."""
    if settings.source.data is None:
        return command.default
    plain = Settings()
    return command.default.but(**{name: plain.flag(name) for name in OF_PHANTOMS})


def own_flags(kind: type) -> Mapping[str, "Field[Any]"]:
    """The flags that a command adds to those of every run."""
    return {entry.name: entry for entry in fields(kind)}


def _words(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag]
    return [flag, *(str(v) for v in (value if isinstance(value, tuple) else (value,)))]

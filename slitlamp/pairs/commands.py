"""The commands about pairs: what each is asked for, and the function that answers."""

import importlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slitlamp.errors import UsageError
from slitlamp.pairs.settings import (
    ENCODER,
    OUTPUT,
    SOURCE,
    ExplainSettings,
    MineSettings,
    ModesSettings,
    PerturbSettings,
    RecipeSettings,
    ScoreSettings,
    SimilaritySettings,
    check_explaining,
    check_mining,
    check_modes,
    check_perturbing,
    check_recipe,
    check_scoring,
    check_similarity,
    own_flags,
)
from slitlamp.settings import UNSAID, Settings, each_once, folder_of_its_own

if TYPE_CHECKING:
    from slitlamp.pairs.result import PairResult

OF_PHANTOMS = ("items", "task")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command about pairs: its help, its flags, its defaults, its checks, and the module and function that run it.

    `positional` is a flag that is written without its name.
    """

    name: str
    about: str
    own: type
    flags: tuple[str, ...]
    default: Settings
    check: Callable[[Settings, Any], None]
    home: str
    positional: str = ""

    @property
    def extra(self) -> Mapping[str, "Field[Any]"]:
        """The flags that this command alone has."""
        return own_flags(self.own)

    def run(self, given: Mapping[str, Any]) -> "PairResult":
        """Answer for the flags that were given; UsageError where they do not fit."""
        own = self.own(**{k: v for k, v in given.items() if k in self.extra})
        settings = self.default.but(**{k: v for k, v in given.items() if k not in self.extra})
        settings = settings.but(**{k: settings_of(self, settings).flag(k) for k in OF_PHANTOMS if k not in given})
        settings = each_once(settings)
        self.check(settings, own)
        line = self.line(settings, own)
        if settings.output.out == "":
            settings = settings.but(out=folder_of_its_own(f"pairs/{self.name}", settings.encoder.encoder, (), line))
        module, _, function = self.home.rpartition(".")
        answer = getattr(importlib.import_module(module), function)
        if settings.output.out is None:
            return answer(settings, own, line)
        from slitlamp.disk import output_folder

        with output_folder(Path(settings.output.out), "results.json", line, replace=settings.output.replace):
            return answer(settings, own, line).written(Path(settings.output.out))

    def line(self, settings: Settings, own: Any) -> str:
        """The command line that repeats the run, but not where output went."""
        words = ["python", "-m", "experiments.pairs", self.name]
        words += getattr(own, self.positional) if self.positional else ()
        for name in self.flags:
            value = settings.flag(name)
            if name in UNSAID or (value == settings_of(self, settings).flag(name) and name != "encoder"):
                continue
            words += _words(name, value)
        plain = self.own()
        for name in self.extra:
            if getattr(own, name) != getattr(plain, name) and name != self.positional:
                words += _words(name, getattr(own, name))
        return shlex.join(words)


def settings_of(command: Command, settings: Settings) -> Settings:
    """A command's defaults; beside --data those of phantoms have nothing to act on."""
    if settings.source.data is None:
        return command.default
    plain = Settings()
    return command.default.but(**{name: plain.flag(name) for name in OF_PHANTOMS})


def _words(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag]
    return [flag, *(str(v) for v in (value if isinstance(value, tuple) else (value,)))]


PHANTOMS = Settings.of(out="", task=("contrast",), items=300)  # without --out, a folder of the run's own


COMMANDS = {
    one.name: one
    for one in (
        Command(
            name="mine",
            about="every pair of images that is near in an encoder and apart in a reference",
            own=MineSettings,
            flags=(*SOURCE, *ENCODER, "jobs", *OUTPUT),
            default=PHANTOMS,
            check=check_mining,
            home="slitlamp.pairs.mine.mine",
        ),
        Command(
            name="modes",
            about="the kinds of images that an encoder puts together and a reference does not",
            own=ModesSettings,
            flags=(*SOURCE, *ENCODER, "permutations", "jobs", *OUTPUT),
            default=PHANTOMS,
            check=check_modes,
            home="slitlamp.pairs.modes.kinds",
        ),
        Command(
            name="explain",
            about="which regions of two images carry their similarity",
            own=ExplainSettings,
            flags=(*SOURCE, *ENCODER, *OUTPUT),
            default=PHANTOMS,
            check=check_explaining,
            home="slitlamp.pairs.explain.explain",
            positional="images",
        ),
        Command(
            name="recipe",
            about="which encoder, site and centring reproduce published similarities",
            own=RecipeSettings,
            flags=(*SOURCE, *ENCODER, *OUTPUT),
            default=PHANTOMS,
            check=check_recipe,
            home="slitlamp.pairs.recipe.recipe",
        ),
        Command(
            name="score",
            about="whether the images of pairs lie apart, are told apart by a probe, or are lost",
            own=ScoreSettings,
            flags=(*SOURCE, "label", "classes", "not_missing", *ENCODER, "probe", "permutations", *OUTPUT),
            default=PHANTOMS,
            check=check_scoring,
            home="slitlamp.pairs.score.score",
        ),
        Command(
            name="perturb",
            about="what graded changes of the images do to the features, and whether the change is read",
            own=PerturbSettings,
            flags=(*SOURCE, *ENCODER, *OUTPUT),
            default=PHANTOMS.but(items=60),
            check=check_perturbing,
            home="slitlamp.pairs.perturb.perturb",
        ),
        Command(
            name="similarity",
            about="how alike the geometries of encoders are, site by site, against a null of exchanged groups",
            own=SimilaritySettings,
            flags=(*SOURCE, *ENCODER, "permutations", *OUTPUT),
            default=PHANTOMS.but(encoder=("phantom-clip", "random:phantom-clip")),
            check=check_similarity,
            home="slitlamp.pairs.similarity.similarity",
        ),
    )
}


def command(name: str) -> Command:
    """The command of that name; UsageError with the nearest."""
    from plugins import hint

    if name not in COMMANDS:
        raise UsageError(f"no command {name!r}; {hint(name, COMMANDS)}there are {', '.join(COMMANDS)}")
    return COMMANDS[name]

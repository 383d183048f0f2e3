"""The commands about pairs: what each is asked for, and the function that answers."""

from typing import Any

from slitlamp.commands import Command
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
)
from slitlamp.settings import Settings

PRICE = "slitlamp.pairs.priced.priced"  # of what is read at one point of each encoder
PHANTOMS = Settings.of(out="", task=("contrast",), items=300)  # without --out, a folder of the run's own
FOUND = "what is done with the features: pairs are found exhaustively, images times images"
RECKONED = "what is reckoned from the features"


def _both(settings: Settings, own: Any) -> tuple[str, ...]:
    """The encoders that are asked, and those they are held against."""
    return tuple(dict.fromkeys((*settings.encoder.encoder, *getattr(own, "reference", ()))))


COMMANDS = {
    one.name: one
    for one in (
        Command(
            under="pairs",
            name="mine",
            price=PRICE,
            unpriced=FOUND,
            examples=(
                "--encoder biomedclip --reference dinov2-b14 --data films/manifest.csv --group patient",
                "--encoder phantom-clip --reference pixels",
                "--encoder biomedclip --reference dinov2-b14 --data films/ --rule mediconfusion --cap 3",
            ),
            about="every pair of images that is near in an encoder and apart in a reference",
            own=MineSettings,
            flags=(*SOURCE, *ENCODER, "jobs", *OUTPUT),
            default=PHANTOMS,
            check=check_mining,
            home="slitlamp.pairs.mine.mine",
        ),
        Command(
            under="pairs",
            name="modes",
            price=PRICE,
            unpriced=FOUND,
            examples=(
                "--encoder biomedclip --reference dinov2-b14 --data films/manifest.csv",
                "--encoder phantom-clip --reference pixels",
                "--encoder biomedclip --reference dinov2-b14 --data films/manifest.csv --label sex view",
            ),
            about="the kinds of images that an encoder puts together and a reference does not",
            own=ModesSettings,
            flags=(*SOURCE, *ENCODER, "permutations", "jobs", *OUTPUT),
            default=PHANTOMS,
            check=check_modes,
            home="slitlamp.pairs.modes.kinds",
        ),
        Command(
            under="pairs",
            name="explain",
            price=PRICE,
            unpriced="the images with a part left out, which are encoded too",
            examples=(
                "chest-0001.png chest-0002.png --encoder biomedclip --data films/",
                "a b --encoder phantom-clip --grid 5",
                "a b --encoder biomedclip --data films/manifest.csv --thumbnails",
            ),
            about="which regions of two images carry their similarity",
            own=ExplainSettings,
            flags=(*SOURCE, *ENCODER, *OUTPUT),
            default=PHANTOMS,
            check=check_explaining,
            home="slitlamp.pairs.explain.explain",
            positional="images",
        ),
        Command(
            under="pairs",
            name="recipe",
            asks=_both,
            unpriced=RECKONED,
            examples=(
                "--encoder biomedclip --published pairs.csv --data films/",
                "--encoder phantom-clip --published pairs.csv",
                "--encoder biomedclip dinov2-b14 --published pairs.csv --data films/ --threshold 0.9 0.75",
            ),
            about="which encoder, site and centring reproduce published similarities",
            own=RecipeSettings,
            flags=(*SOURCE, *ENCODER, *OUTPUT),
            default=PHANTOMS,
            check=check_recipe,
            home="slitlamp.pairs.recipe.recipe",
        ),
        Command(
            under="pairs",
            name="score",
            price=PRICE,
            unpriced="the probe, and what else is reckoned from the features",
            examples=(
                "--encoder biomedclip --pairs runs/pairs/mine/films/pairs.csv --data films/",
                "--encoder phantom-clip biomedclip --pairs pairs.csv --data films/manifest.csv --label view",
                "--encoder phantom-clip --pairs pairs.csv",
            ),
            about="whether the images of pairs lie apart, are told apart by a probe, or are lost",
            own=ScoreSettings,
            flags=(*SOURCE, "label", "classes", "not_missing", *ENCODER, "probe", "permutations", *OUTPUT),
            default=PHANTOMS,
            check=check_scoring,
            home="slitlamp.pairs.score.score",
        ),
        Command(
            under="pairs",
            name="perturb",
            price=PRICE,
            unpriced="the changed images, which are encoded too, at every strength of every change",
            examples=(
                "--encoder phantom-clip",
                "--encoder biomedclip --data films/ --limit 60",
                "--encoder phantom-clip --perturbation blur noise",
            ),
            about="what graded changes of the images do to the features, and whether the change is read",
            own=PerturbSettings,
            flags=(*SOURCE, *ENCODER, *OUTPUT),
            default=PHANTOMS.but(items=60),
            check=check_perturbing,
            home="slitlamp.pairs.perturb.perturb",
        ),
        Command(
            under="pairs",
            name="similarity",
            asks=_both,
            unpriced=RECKONED,
            examples=(
                "--encoder phantom-clip random:phantom-clip",
                "--encoder biomedclip dinov2-b14 --data films/manifest.csv --group patient",
                "--encoder phantom-clip pixels --index cka",
            ),
            about="how alike the geometries of encoders are, site by site, against a null of exchanged groups",
            own=SimilaritySettings,
            flags=(*SOURCE, *ENCODER, "permutations", *OUTPUT),
            default=PHANTOMS.but(encoder=("phantom-clip", "random:phantom-clip")),
            check=check_similarity,
            home="slitlamp.pairs.similarity.similarity",
        ),
    )
}

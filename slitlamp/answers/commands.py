"""The commands about answers: asking a model, and reading answers made elsewhere."""

from slitlamp.answers import import_settings
from slitlamp.answers.settings import FLAGS_OF_RUN, AskSettings, check
from slitlamp.commands import Command
from slitlamp.settings import Settings

COMMANDS = {
    one.name: one
    for one in (
        Command(
            under="answers",
            name="ask",
            examples=(
                "--model phantom-llava --task orientation",
                "--model llava-med --task orientation --data films/manifest.csv --group patient",
                "--model phantom-llava --task orientation --ways letter --paraphrases 1 --items 40",
            ),
            about="what a model itself answers, in four ways, without its bias, and without the image",
            own=AskSettings,
            flags=FLAGS_OF_RUN,
            default=Settings.of(out=""),
            check=check,
            home="slitlamp.answers.run.answer",
            of_answers=True,
            asks=lambda _, own: own.model,
            unpriced="the answers themselves, each way in every order and paraphrase, with and without the image",
            words=lambda own: own.model,
        ),
        Command(
            under="answers",
            name="import",
            examples=(
                "results.jsonl --task orientation --data films/manifest.csv",
                "answers.csv",
                "lmms-eval-results/ --group patient",
            ),
            about="what answers made elsewhere really say, and what that does to their score",
            own=import_settings.ImportSettings,
            flags=import_settings.FLAGS_OF_IMPORT,
            default=Settings.of(out=""),
            check=import_settings.check,
            home="slitlamp.answers.import_run.import_answers",
            positional="files",
            words=import_settings.words,
        ),
    )
}

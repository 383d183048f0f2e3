"""The command: what it writes, what it refuses in one line, benchmarks' own questions, and a real tiny LLaVA."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
import slitlamp
import tasks
from cache import Store, content_digest
from experiments.answers import main
from slitlamp.answers.inquiry import of_rows
from slitlamp.answers.settings import AskSettings
from slitlamp.answers.stored import StoredModel
from slitlamp.encoding.fill import encode_missing
from slitlamp.encoding.images import ImageSet
from slitlamp.settings import EncoderSettings, SourceSettings
from tasks import Picture
from tests.letter_model import LetterModel
from tests.tiny_benchmarks import mmvp


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch) -> LetterModel:
    """A formula that tells the phantoms of orientation apart."""
    task = tasks.load("orientation")
    assert task.phantoms is not None
    assert task.classes is not None
    items = task.items(task.phantoms(12, 0), np.random.default_rng(0), None)
    known = {content_digest(item.picture.read()): str(item.label) for item in items}
    means = {word: c for words in (task.classes, *task.wordings) for word, c in zip(words, task.classes, strict=True)}
    model = LetterModel(lambda image: known.get(content_digest(image)), means, skill=4.0)
    whole = model.whole()
    monkeypatch.setattr(encoders, "load_whole", lambda *_, **__: whole)
    return model


ASK = ["ask", "--model", "phantom-clip", "--task", "orientation", "--items", "12", "--paraphrases", "2"]


def test_the_command_writes_tables_answers_and_a_figure(
    formula: LetterModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main([*ASK, "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "by the likeliest letter it is right in 1.00" in " ".join(told.out.split())
    document = json.loads((out / "results.json").read_text())
    assert document["experiment"] == "answers ask"
    assert set(document["tables"]) == {
        "accuracy", "bias", "order", "pairs", "image", "quadrant", "knowledge"
    }  # fmt: skip
    assert {"answers.csv", "answers.pdf", "answers.svg", "answers.png"} <= set(document["files"])
    rows = list(csv.DictReader(io.StringIO((out / "answers.csv").read_text())))
    assert {row["way"] for row in rows} == {"letter", "choice", "prefix", "free"}
    assert {row["image"] for row in rows} == {"own", "no image", "grey image", "other class", "same class"}
    before, count = {path.name: path.read_bytes() for path in out.glob("*.*")}, len(formula.calls)
    assert main([*ASK, "--out", str(out)]) == 0
    assert len(formula.calls) == count  # nothing is asked again
    assert [path.name for path in out.glob("*.*") if path.read_bytes() != before[path.name]] == []
    slitlamp.report(str(out), out=str(tmp_path / "page"))
    page = (tmp_path / "page" / "index.html").read_text()
    assert "by the likeliest letter it is right in 1.00" in page


def test_a_notebook_has_every_answer(formula: LetterModel) -> None:
    assert formula
    result = slitlamp.answer("phantom-clip", "orientation", items=12, ways="letter", paraphrases=1, wordings=1)
    found = result.arrays["phantom-clip/orientation"]
    assert found.letter.chosen.shape == (12, 2)
    assert result.table("accuracy")[0]["accuracy"] == 1
    assert result.plot() is not None


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--ways", "leter"], "leter"),
        (["--paraphrases", "0"], "--paraphrases 0: must be at least 1"),
        (["--judge", "x.py", "--ways", "letter"], "--judge x.py has nothing to act on"),
        (["--options", "yes"], "is one option: a question has two or more"),
        (["--options", "yes", "no", "both"], "--options has 3 texts for 2 classes"),
        (["--options", "yes", "Yes"], "--options has 'yes' twice"),
        (["--options", "yes\nB. no", "no"], "--options takes texts of one line"),
        (["--question", " "], "one of them is empty"),
        (["--model", "phantom-klip"], "phantom-clip"),
        (["--judge", "missing.py"], "no judge file"),
    ],
)
def test_what_does_not_fit_is_one_line(
    formula: LetterModel, capsys: pytest.CaptureFixture[str], flags: list[str], line: str
) -> None:
    assert formula
    assert main([*ASK, *flags]) != 0
    told = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    assert len(told) == 1
    assert line in told[0]


@pytest.mark.parametrize("flags", [["--question", "Which is it?"], ["--options", "yes", "no"]])
def test_words_are_not_put_for_tasks_of_other_classes(
    formula: LetterModel, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    assert main([*ASK[:3], "--task", "orientation", "contrast", "--items", "4", *flags]) == 2
    line = f"{flags[0]} would be put for orientation and for contrast, whose classes are others"
    assert line in capsys.readouterr().err
    assert formula.calls == []
    alone = [*ASK[:4], "orientation", "--items", "4", "--ways", "letter", "--no-blind", "--knowledge", "none"]
    assert main([*alone, *flags]) == 0


def test_a_column_needs_a_question_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for k in range(24):
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / f"{k}.png")
    (tmp_path / "list.csv").write_text("file,view,age\n" + "".join(f"{k}.png,{'ap'[k % 2]},{k}.5\n" for k in range(24)))
    argv = ["ask", "--model", "phantom-clip", "--data", str(tmp_path / "list.csv"), "--label"]
    assert main([*argv, "view"]) == 2
    assert "a column has no question in words; say --question" in capsys.readouterr().err
    assert main([*argv, "age", "--question", "How old?"]) == 2
    assert "asks for a number, and a model is given options" in capsys.readouterr().err


def test_a_benchmark_is_asked_in_its_own_words(tmp_path: Path) -> None:
    source = SourceSettings(data=f"mmvp:{mmvp(tmp_path)}")
    found = of_rows(source, AskSettings(), Store(tmp_path / "store"))
    rows = {row.id: row for row in tasks.open_source(str(source.data)).rows}
    assert len(found.ids) == len(rows)
    for name, y, prompts, options in zip(found.ids, found.y, found.prompts, found.options, strict=True):
        text = rows[name].text
        assert text is not None
        assert prompts == (text["question"],)
        assert options == (tuple(text["options"]),)
        assert text["options"][y] == text["answer"]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny_llava import plain

    return plain(tmp_path_factory.mktemp("llava")).folder


def tiny(llava: Path, store: Store) -> StoredModel:
    settings = EncoderSettings(encoder=("llava-1.5-7b",), weights=(str(llava),), other_weights=True)
    return StoredModel(spec="llava-1.5-7b", settings=settings, store=store, device="cpu", dtype="float32")


def test_who_a_model_is_is_remembered_until_a_file_changes(
    llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plain = Store(tmp_path / "store"), encoders.load_whole
    loads: list[Any] = []
    monkeypatch.setattr(encoders, "load_whole", lambda *a, **k: (loads.append(1), plain(*a, **k))[1])
    first = tiny(llava, store).identity
    assert tiny(llava, store).identity == first
    assert len(loads) == 1
    images = [np.random.default_rng(k).integers(0, 256, (60, 60), dtype=np.uint8) for k in range(3)]

    def features(prompt: str) -> tuple[np.ndarray, int]:
        pictures = ImageSet(
            pictures=[Picture(read=lambda image=image: image) for image in images], names=["a", "b", "c"], store=store
        )
        reader = tiny(llava, store).reader(prompt)
        point = next(p for p in reader.points() if p[0] == "lm.1" and p[1] == "last")
        table = encode_missing(reader, pictures, [point], {})
        return table.read("lm.1/last"), table.encoded

    (x, fresh), count = features("Which way up?"), len(loads)
    assert (x.shape[0], fresh) == (3, 3)
    again, known = features("Which way up?")
    assert (known, len(loads)) == (0, count)  # from the store: neither the model nor its image side is loaded
    np.testing.assert_array_equal(x, again)
    other, asked = features("Is it a child?")  # another prompt is another reader
    assert asked == 3
    assert not np.allclose(x, other)
    template = llava / "chat_template.json"
    kept = template.read_text()
    template.write_text(kept.replace("ASSISTANT:", "MODEL:"))
    try:
        assert tiny(llava, store).identity.fingerprint != first.fingerprint
    finally:
        template.write_text(kept)


def test_a_tiny_llava_answers_alike_in_batches_and_alone(llava: Path, tmp_path: Path) -> None:
    from encoders.answering import ways
    from encoders.answering.model import Prompt

    model = tiny(llava, Store(tmp_path / "store")).load()
    asked = [
        Prompt(
            text=f"Which{' way' * (k % 2)} up?\nA. up\nB. down\nAnswer.",
            image=np.random.default_rng(k).integers(0, 256, (50 + 10 * k, 60), dtype=np.uint8),
        )
        for k in range(4)
    ]
    together = ways.letter_scores(model, asked, [2] * 4)
    texts = [("up", "down")] * 4
    prefixes = ways.prefix_scores(model, asked, texts)
    for k, prompt in enumerate(asked):
        np.testing.assert_allclose(ways.letter_scores(model, [prompt], [2])[0], together[k], atol=1e-5)
        np.testing.assert_allclose(ways.prefix_scores(model, [prompt], texts[:1])[0], prefixes[k], atol=1e-5)
        assert ways.written(model, [prompt], 6) == [ways.written(model, asked, 6)[k]]

"""Texts of classes in a joint space, and readers that nobody trained."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import probes
import tasks
from probes.stages.alignment import similarity
from probes.stats.fixed import measure_fixed
from slitlamp.diagnosis.prompts import CAPTIONS, NAMES, styles_of


def question(name: str) -> Any:
    task = tasks.load(name)
    return SimpleNamespace(name=name, task=task, classes=task.classes)


def test_every_class_has_as_many_texts_and_phantom_clips_own_captions_among_them() -> None:
    found = {style.name: style.texts for style in styles_of(question("contrast"), ())}
    assert [len(texts) for texts in found[NAMES]] == [30, 30]  # ten templates around three wordings
    assert found[CAPTIONS][1][0] == "an abdominal ct slice after contrast"
    assert len({text for texts in found[NAMES] for text in texts}) == 60
    own = styles_of(question("contrast"), ("plain=before", "enhanced=after"))
    assert [(style.name, style.texts) for style in own] == [("own", (("before",), ("after",)))]


def test_a_similarity_is_to_the_mean_unit_vector_of_a_class() -> None:
    image = np.array([[3.0, 0.0], [0.0, 2.0]])
    texts = [np.array([[9.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0]])]
    assert np.allclose(similarity(image, texts), [[1, 0], [0, 1]])


@pytest.mark.parametrize("reads", [True, False])
def test_an_untrained_reader_is_compared_under_the_same_exchanged_labels(*, reads: bool) -> None:
    rng, n = np.random.default_rng(3), 90
    y, names = np.arange(n) % 3, ("a", "b", "c")
    plan = probes.plan(y, np.arange(n), classes=names, permutations=199)
    given = probes.FeatureSet(x=np.zeros((n, 1)), y=y, groups=np.arange(n), ids=[*map(str, range(n))], classes=names)
    score = rng.standard_normal((n, 3))
    score[np.arange(n), y] += 1.5 * reads
    found = measure_fixed(score, given, plan, "answer")
    assert found.estimate.score == pytest.approx(np.mean([(score.argmax(1) == y)[y == c].mean() for c in range(3)]))
    assert found.reads == reads
    assert probes.compare(found, found, plan).score == 0

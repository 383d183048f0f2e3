"""Questions: what is decided before anything is decoded."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache import Store
from probes import ProbeError
from slitlamp import questions
from slitlamp.settings import Settings
from tasks import DataError


def test_what_labels_and_groups_decide_is_decided_before_an_image_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class in one group only, or one class alone: said before a decoder or an encoder has seen a thing."""

    def never(*_: object) -> None:
        raise AssertionError("images were decoded")

    rows = [f"{k}.png,{'rare' if k == 3 else 'ab'[k % 2]},{k}\n" for k in range(12)]
    for k in range(12):
        Image.fromarray(np.full((8, 8), 9 * k, np.uint8)).save(tmp_path / f"{k}.png")
    (tmp_path / "t.csv").write_text("file,what,who\n" + "".join(rows))
    asked = Settings().but(data=str(tmp_path / "t.csv"), label="what", group="who").source
    monkeypatch.setattr(questions, "check_source", never)
    with pytest.raises(DataError, match="1 of 3 classes of what occur in one group only"):
        questions.ask(asked, Store(tmp_path / "store"))
    (tmp_path / "t.csv").write_text("file,what,who\n" + "".join(f"{k}.png,{'abc'[k % 3]},{k}\n" for k in range(12)))
    with monkeypatch.context() as patch:
        patch.setattr("probes.stats.plan.MOST", 24)
        with pytest.raises(ProbeError, match=r"3 classes of 12 items are more than .* at most 2 classes"):
            questions.ask(asked, Store(tmp_path / "store"))
    (tmp_path / "t.csv").write_text("file,what,who\n" + "".join(row for row in rows if "rare" not in row))
    monkeypatch.setattr("probes.stats.plan.MOST", 12)  # two classes are one score, of however many items
    with pytest.raises(AssertionError, match="images were decoded"):
        questions.ask(asked, Store(tmp_path / "store"))

"""What the tests of phantoms share: intervals, held-out answers, pinned grey values, discs found by colour."""

import numpy as np

from encoders.lowlevel import NAMES
from tasks.marks.draw import COLOURS

STATED = [i for i, name in enumerate(NAMES) if name != "blockiness"]


def farthest(images: list[np.ndarray], pinned: str) -> int:
    """The greatest difference from pinned grey values; processors round apart by one or two."""
    seen = np.stack([image[14::28, 14::28] for image in images]).astype(int).ravel()
    return int(np.abs(seen - np.frombuffer(bytes.fromhex(pinned), np.uint8)).max())


def interval(right: np.ndarray) -> tuple[float, float]:
    """A 95 % Wilson interval of a share."""
    n, share = len(right), right.mean()
    centre = (share + 1.9208 / n) / (1 + 3.8416 / n)
    half = 1.96 * np.sqrt(share * (1 - share) / n + 0.9604 / n**2) / (1 + 3.8416 / n)
    return centre - half, centre + half


def held_out(x: np.ndarray, y: np.ndarray, model: str = "ridge", folds: int = 10) -> np.ndarray:
    """Whether each item is answered rightly while held out, by ridge, a forest or boosted trees."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = {
        "ridge": make_pipeline(StandardScaler(), RidgeClassifier(10.0)),
        "forest": ExtraTreesClassifier(120, min_samples_leaf=2, random_state=0),
        "trees": HistGradientBoostingClassifier(max_iter=40, learning_rate=0.1, early_stopping=False),
    }
    return cross_val_predict(models[model], x, y, cv=KFold(folds, shuffle=True, random_state=0)) == y


def learnt(x: np.ndarray, y: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """What a linear discriminant learnt on x, y says of x2."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis().fit(x, y).predict(x2)


def at(image: np.ndarray, colour: str) -> np.ndarray:
    """Row and column of the middle of a disc, found by its colour."""
    return np.argwhere((image == np.array(COLOURS[colour], np.uint8)).all(2)).mean(0)

"""Perceptron probe: one hidden layer of 64 units, the non-linear control for a thousand items and more.

Five networks for each held-out fold, each stopped early on another inner fold; their answers are averaged.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from probes._base import FeatureSet, Predictions
from probes.solvers.codes import coded, training_means
from probes.solvers.inner_folds import INNER, inner_folds
from probes.solvers.scale import standardised

HIDDEN = 64
DECAY = 1e-3
_RATE, _EPOCHS, _PATIENCE = 2e-2, 100, 8
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8  # Adam (Kingma & Ba 2015)


def probe(
    given: FeatureSet, folds: np.ndarray, rng: np.random.Generator, *, hidden: int = HIDDEN, decay: float = DECAY
) -> Predictions:
    """Predict every item while its fold is held out, by the mean of five early-stopped networks.

    Features are standardised and turned into their row space on all rows, which uses no label. `probability`
    is the mean of the networks' softmax; the score is its log less that of the training prior.

    Raises:
        ProbeError: folds that split a group or leave a class out of a training part.
    """
    x, codes = _row_space(given.x), coded(given)
    numbers = given.classes is None
    means = training_means(codes, folds)
    answer = np.stack([_repeat(x, given, codes, fold, rng, hidden, decay) for fold in folds])
    present = means > 0
    score = answer if numbers else np.log(np.maximum(answer, 1e-12)) - np.log(np.where(present, means, 1.0))
    return Predictions(
        label=given.y,
        predicted=answer[..., 0] if numbers else np.where(present, score, -np.inf).argmax(axis=2),
        score=score,
        probability=None if numbers else answer,
        fold=folds,
        groups=given.groups,
        ids=given.ids,
        baseline=means[..., 0] if numbers else None,
    )


def _row_space(x: np.ndarray) -> np.ndarray:
    """Standardised features [n, min(n, d)] in float32, rows of mean squared length one; distances are kept."""
    wide = standardised(x)
    if wide.shape[1] > len(wide):
        w, u = np.linalg.eigh(wide @ wide.T)
        wide = u * np.sqrt(np.maximum(w, 0))
    size = np.sqrt(np.square(wide).sum(axis=1).mean())
    return (wide / (size or 1.0)).astype(np.float32)


def _repeat(
    x: np.ndarray,
    given: FeatureSet,
    codes: np.ndarray,
    fold: np.ndarray,
    rng: np.random.Generator,
    hidden: int,
    decay: float,
) -> np.ndarray:
    """Held-out answers [n, K] of one repeat; all folds' networks are trained together."""
    parts = np.unique(fold)
    train = np.zeros((len(parts), INNER, len(x)), dtype=np.float32)
    stop = np.zeros_like(train)
    for m, part in enumerate(parts):
        rows = np.flatnonzero(fold != part)
        inner = inner_folds(given.y[rows], given.groups[rows], rng)
        for k in range(INNER):
            train[m, k, rows[inner != k]] = 1
            stop[m, k, rows[inner == k]] = 1
    numbers = given.classes is None
    centre, spread = np.zeros(1), np.ones(1)
    if numbers:  # mean and sd of the target in each training part, [M, 1, 1]
        member = fold != parts[:, None]
        count = member.sum(axis=1, keepdims=True)
        mean = member @ codes / count
        sd = np.sqrt(member @ np.square(codes) / count - mean**2)
        centre, spread = mean[:, None], np.where(sd > 0, sd, 1.0)[:, None]
    targets = np.broadcast_to((codes - centre) / spread, (len(parts), *codes.shape))
    nets = _Nets.drawn(rng, len(parts) * INNER, x.shape[1], hidden, codes.shape[1])
    flat = (-1, len(x))
    best = nets.trained(x, np.repeat(targets, INNER, axis=0), train.reshape(flat), stop.reshape(flat), decay, numbers)
    mean = best.reshape(len(parts), INNER, *codes.shape).mean(axis=1) * spread + centre
    return mean[np.searchsorted(parts, fold), np.arange(len(x))]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Nets:
    """M networks side by side: a [r, M * H], a0 [M * H], b [M, H, K], b0 [M, K]."""

    a: np.ndarray
    a0: np.ndarray
    b: np.ndarray
    b0: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, count: int, width: int, hidden: int, out: int) -> "_Nets":
        """Weights as He et al. 2015, for inputs of length one."""
        return cls(
            a=(rng.standard_normal((width, count * hidden), dtype=np.float32) * np.float32(2**0.5)),
            a0=np.zeros(count * hidden, dtype=np.float32),
            b=rng.standard_normal((count, hidden, out), dtype=np.float32) * np.float32(hidden**-0.5),
            b0=np.zeros((count, out), dtype=np.float32),
        )

    def trained(
        self, x: np.ndarray, targets: np.ndarray, train: np.ndarray, stop: np.ndarray, decay: float, numbers: bool
    ) -> np.ndarray:
        """Answers [M, n, K] of each network at the epoch where its stopping rows had the least loss."""
        targets = targets.astype(np.float32)
        weight = train / train.sum(axis=1, keepdims=True)
        best, least = np.zeros(targets.shape, dtype=np.float32), np.full(len(train), np.inf)
        waited = np.zeros(len(train), dtype=int)
        moments = [np.zeros_like(p) for p in self._all() for _ in range(2)]
        for epoch in range(1, _EPOCHS + 1):
            out, inside = self._forward(x)
            if numbers:
                answer, losses = out, np.square(out - targets).sum(axis=2)
            else:
                raised = np.exp(out - out.max(axis=2, keepdims=True))
                answer = raised / raised.sum(axis=2, keepdims=True)
                losses = -np.log(np.maximum((answer * targets).sum(axis=2), 1e-12))
            loss = np.einsum("mn,mn->m", losses, stop, dtype=np.float64)
            better = (loss < least) & (waited <= _PATIENCE)  # who has stopped stays so, however long others run
            best[better], least[better] = answer[better], loss[better]
            waited = np.where(better, 0, waited + 1)
            if (waited > _PATIENCE).all():
                break
            self._step(list(self._slopes(x, inside, (answer - targets) * weight[..., None], decay)), moments, epoch)
        return best

    def _all(self) -> tuple[np.ndarray, ...]:
        return self.a, self.a0, self.b, self.b0

    def _forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = np.maximum(x @ self.a + self.a0, 0)
        split = inside.reshape(len(x), len(self.b), -1).swapaxes(0, 1)
        return split @ self.b + self.b0[:, None], inside

    def _slopes(self, x: np.ndarray, inside: np.ndarray, error: np.ndarray, decay: float) -> Iterator[np.ndarray]:
        split = inside.reshape(len(x), len(self.b), -1).swapaxes(0, 1)
        back = (error @ self.b.swapaxes(1, 2)).swapaxes(0, 1).reshape(inside.shape) * (inside > 0)
        yield x.T @ back + decay * self.a
        yield back.sum(axis=0)
        yield split.swapaxes(1, 2) @ error + decay * self.b
        yield error.sum(axis=1)

    def _step(self, slopes: list[np.ndarray], moments: list[np.ndarray], epoch: int) -> None:
        rate = np.float32(_RATE * np.sqrt(1 - _SECOND**epoch) / (1 - _FIRST**epoch))
        for i, (value, slope) in enumerate(zip(self._all(), slopes, strict=True)):
            first, second = moments[2 * i], moments[2 * i + 1]
            first += (1 - _FIRST) * (slope - first)
            second += (1 - _SECOND) * (slope * slope - second)
            value -= rate * first / (np.sqrt(second) + _TINY)

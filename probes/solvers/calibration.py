"""From logits to answers and probabilities: the training prior and one temperature."""

import numpy as np

from probes.solvers.problem import probabilities


def calibrated(z: np.ndarray, prior: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Class probabilities [M, K, n] from logits [M, J, n]: the temperature scales their distance from the prior.

    At temperature 1 they are the fit's own, at 0 the prior.
    """
    full, log_prior = above_prior(z, prior), np.log(prior)[..., None]
    return probabilities(log_prior + temperature[:, None, None] * full)


def above_prior(z: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Decision values [M, K, n]: logits less the log prior, so that the argmax decides at the training prior."""
    if z.shape[1] > 1:
        return z - np.log(prior)[..., None]
    half = (z[:, 0] - (np.log(prior[:, 1]) - np.log(prior[:, 0]))[:, None]) / 2
    return np.stack([-half, half], axis=1)


def temperature(z: np.ndarray, onehot: np.ndarray, prior: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The factor [M] on the logits' distance from the prior that minimises the log-loss; 0 if none helps.

    The log-loss is convex in it: Newton steps, kept inside the bracket.
    """
    above, log_prior = above_prior(z, prior), np.log(prior)[..., None]
    label = np.eye(2)[:, onehot[0].astype(int)] if len(onehot) == 1 else onehot
    low, high = np.zeros(len(z)), np.full(len(z), 1e3)
    at = np.ones(len(z))

    def slopes(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = probabilities(log_prior + t[:, None, None] * above)
        mean = np.einsum("mkn,mkn->mn", p, above)
        first = np.einsum("mn,mn->m", mean - np.einsum("kn,mkn->mn", label, above), rows)
        return first, np.einsum("mn,mn->m", np.einsum("mkn,mkn->mn", p, above**2) - mean**2, rows)

    useless = slopes(low)[0] >= 0
    for _ in range(50):
        first, second = slopes(at)
        low, high = np.where(first < 0, at, low), np.where(first >= 0, at, high)
        newton = at - np.divide(first, second, out=np.full_like(at, np.inf), where=second > 1e-12 * np.abs(first))
        inside = (newton > low) & (newton < high)
        after = np.where(inside, newton, (low + high) / 2)
        if np.all(np.abs(after - at) <= 1e-9 * at):
            break
        at = after
    return np.where(useless, 0.0, at)

"""The area under the ROC curve of thousands of score vectors at once."""

import numpy as np


def auc(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each row: P(score of a positive > score of a negative), ties counting half.

    scores: [B, n], read as float32 without its last bit. y: [B, n] or [n], positive where > 0. nan where a row
    has one class only. The label rides in the last bit, so that one sort of plain float32 values gives the
    ranks; a row with ties is sorted again with the bit inverted, and the mean of both is the mid-rank value.
    """
    bits = np.add(scores, np.float32(0), dtype=np.float32, casting="same_kind").view(np.int32)
    bits &= np.int32(-2)
    positive = np.broadcast_to(y > 0, bits.shape)
    n, many = bits.shape[1], positive.sum(axis=1)
    first, tied = _rank_sum(bits | positive)
    if tied.any():
        negatives, _ = _rank_sum(bits[tied] | ~positive[tied])
        first[tied] = (first[tied] + n * (n + 1) / 2.0 - negatives) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (first - many * (many + 1) / 2.0) / (many * (n - many))


def _rank_sum(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the ranks of rows' odd entries, and which rows hold an even and an odd entry of equal value."""
    sorted_bits = np.sort(packed.view(np.float32), axis=1).view(np.int32)
    tied = ((sorted_bits[:, 1:] ^ sorted_bits[:, :-1]) == 1).any(axis=1)
    n = packed.shape[1]
    exact = np.float32 if n * (n + 1) < 2**24 else np.float64  # sums of ranks stay whole numbers
    odd = (sorted_bits & np.int32(1)).astype(exact)
    return (odd @ np.arange(1, n + 1, dtype=exact)).astype(np.float64), tied

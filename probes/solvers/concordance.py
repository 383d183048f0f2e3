"""Pairs in the right order, counted item by item for thousands of prediction vectors at once."""

import numpy as np


def ordered_pairs(prediction: np.ndarray, truth: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every item the pairs it forms inside its part that are predicted in the right order, and all its pairs.

    prediction [A, n]; truth [A, n] numbers; part [n] whole numbers: pairs lie within a part. Two items of equal truth
    are no pair; of a pair that is predicted equal, half is right. Both counts are float64 [A, n].

    O(n log n) a row: items in the order of their prediction are split by the bits of their rank of truth, the highest
    first. Each pair is parted at exactly one bit, where who has it is to come after who has not.
    """
    code = np.unique(truth, return_inverse=True)[1].reshape(truth.shape)
    right, pairs = _split(prediction, code, part, tied_right=True)
    in_order = np.sort(prediction, axis=1)
    tied = (in_order[:, 1:] == in_order[:, :-1]).any(axis=1)
    if tied.any():  # once with all ties right and once with all wrong: the mean of both is a half each
        right[tied] = (right[tied] + _split(prediction[tied], code[tied], part, tied_right=False)[0]) / 2
    return right, pairs


def _split(
    prediction: np.ndarray, code: np.ndarray, part: np.ndarray, *, tied_right: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Both counts, with pairs that are predicted equal all right or all wrong."""
    rows, n = code.shape
    row, place = np.arange(rows)[:, None], np.arange(n, dtype=np.int32)
    size = np.bincount(part)
    item = np.lexsort((code if tied_right else -code, prediction, np.broadcast_to(part, code.shape)), axis=-1)
    code = np.take_along_axis(code, item, axis=1).astype(np.int32)
    stop = np.tile(np.repeat(np.cumsum(size), size).astype(np.int32), (rows, 1))  # of the block that an item lies in
    start = stop - np.repeat(size, size).astype(np.int32)
    right = np.zeros(code.shape, dtype=np.int32)
    ones = np.zeros((rows, n + 1), dtype=np.int32)
    for bit in reversed(range(int(code.max()).bit_length())):
        high = (code >> bit & 1).astype(bool)
        np.cumsum(high, axis=1, out=ones[:, 1:])
        before = ones[:, :-1] - np.take_along_axis(ones, start, axis=1)
        many = np.take_along_axis(ones, stop, axis=1) - ones[:, :-1] + before
        low_before, middle = place - start - before, stop - many
        right += np.where(high, low_before, many - before)
        to = np.where(high, middle + before, start + low_before)
        start, stop = np.where(high, middle, start), np.where(high, stop, middle)
        moved = np.empty_like(to)
        moved[row, to] = place
        item, code, right, start, stop = (
            np.take_along_axis(a, moved, axis=1) for a in (item, code, right, start, stop)
        )
    found = np.empty((2, *code.shape))
    found[0, row, item], found[1, row, item] = right, size[part[item]] - (stop - start)
    return found[0], found[1]

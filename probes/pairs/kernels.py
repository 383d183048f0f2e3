# ruff: noqa: ANN001, ANN201, ANN202
"""Compiled loops of pair mining: scan a block of upper bounds, and check the pairs that remain exactly.

They carry no types, because the compiler finds them, and release the interpreter lock, so that several threads mine
at once. Rows and columns are counted from `row0` and `column0`, the places of the block in the whole triangle.
"""

from typing import no_type_check

import numba
import numpy as np

DIGITS = 12  # of similarities
CHUNK = 64  # values looked at together before any of them is looked at alone


@no_type_check
@numba.njit(nogil=True, cache=True)
def scan(  # type: ignore[no-untyped-def]
    block, threshold, row0, column0, start, rows, columns
):  # pragma: no cover - compiled
    """Places of a block's values that reach their row's threshold, from the row `start` on, above the diagonal.

    `block` is [m, n] and `threshold` [m], of one number type whose order is the order of the values. The places go to
    `rows` and `columns` (of the whole). Returns their count and the row to go on from: m, or an earlier one where the
    arrays could not take another row.
    """
    m, n = block.shape
    count = 0
    for i in range(start, m):
        if count + n > len(rows):
            return count, i
        limit = threshold[i]
        j = max(0, row0 + i + 1 - column0)
        while j < n:
            end = min(j + CHUNK, n)
            found = False
            for k in range(j, end):
                found |= block[i, k] >= limit
            if found:
                for k in range(j, end):
                    if block[i, k] >= limit:
                        rows[count] = row0 + i
                        columns[count] = column0 + k
                        count += 1
            j = end
    return count, m


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _fast_dot(x, y):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The same product summed in whatever order is fastest, as near as float64 rounds."""
    total = 0.0
    for k in range(len(x)):
        total += np.float64(x[k]) * np.float64(y[k])
    return total


@no_type_check
@numba.njit(nogil=True, cache=True)
def exact_dot(x, y):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The float64 dot product of two float32 vectors, summed in an order that depends on their length alone."""
    a = b = c = d = e = f = g = h = 0.0
    whole = len(x) // 8 * 8
    for k in range(0, whole, 8):
        a += np.float64(x[k]) * np.float64(y[k])
        b += np.float64(x[k + 1]) * np.float64(y[k + 1])
        c += np.float64(x[k + 2]) * np.float64(y[k + 2])
        d += np.float64(x[k + 3]) * np.float64(y[k + 3])
        e += np.float64(x[k + 4]) * np.float64(y[k + 4])
        f += np.float64(x[k + 5]) * np.float64(y[k + 5])
        g += np.float64(x[k + 6]) * np.float64(y[k + 6])
        h += np.float64(x[k + 7]) * np.float64(y[k + 7])
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for k in range(whole, len(x)):
        total += np.float64(x[k]) * np.float64(y[k])
    return total


@no_type_check
@numba.njit(nogil=True, cache=True)
def exact_similarities(unit, offset, scale, rows, columns):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Float64 `scale * unit_i . unit_j + (offset_i + offset_j)` of the pairs."""
    found = np.empty(len(rows), np.float64)
    for p in range(len(rows)):
        i, j = rows[p], columns[p]
        found[p] = scale * exact_dot(unit[i], unit[j]) + (offset[i] + offset[j])
    return found


@no_type_check
@numba.njit(nogil=True, cache=True)
def check(  # type: ignore[no-untyped-def]
    rows, columns, count, unit_a, offset_a, scale_a, low, slack_a, unit_b, offset_b, scale_b, high, slack_b, strict,
    differ, removed, first, second, a, b,
):  # fmt: skip  # pragma: no cover - compiled
    """Keep the candidates whose similarity is at least `low` in the first space and at most `high` in the second.

    Where the fast product lies within `slack` of a threshold, `exact_dot` decides. `differ` [f, n] are codes: a pair
    whose codes agree in one of them is left out and counted in `removed` [f]. What is kept goes to `first`, `second`,
    `a` and `b`, similarities rounded to DIGITS so that they do not depend on the machine; returns its count.
    """
    kept = 0
    for p in range(count):
        i, j = rows[p], columns[p]
        shift = offset_a[i] + offset_a[j]
        s = scale_a * _fast_dot(unit_a[i], unit_a[j]) + shift
        if abs(s - low) <= slack_a:
            s = scale_a * exact_dot(unit_a[i], unit_a[j]) + shift
        if s < low or (strict and s == low):
            continue
        move = offset_b[i] + offset_b[j]
        r = scale_b * _fast_dot(unit_b[i], unit_b[j]) + move
        if abs(r - high) <= slack_b:
            r = scale_b * exact_dot(unit_b[i], unit_b[j]) + move
        if r > high or (strict and r == high):
            continue
        out = False
        for f in range(len(differ)):
            if differ[f, i] == differ[f, j]:
                removed[f] += 1
                out = True
                break
        if out:
            continue
        first[kept], second[kept], a[kept], b[kept] = i, j, round(s, DIGITS), round(r, DIGITS)
        kept += 1
    return kept


@no_type_check
@numba.njit(nogil=True, cache=True)
def keep_largest(heaps, rows, values):  # pragma: no cover - compiled
    """Push each value onto the heap of its row, [n, m] with the least of the m largest first."""
    width = heaps.shape[1]
    for p in range(len(rows)):
        heap = heaps[rows[p]]
        value = values[p]
        if value <= heap[0]:
            continue
        at = 0
        while True:
            child = 2 * at + 1
            if child >= width:
                break
            if child + 1 < width and heap[child + 1] < heap[child]:
                child += 1
            if heap[child] >= value:
                break
            heap[at] = heap[child]
            at = child
        heap[at] = value

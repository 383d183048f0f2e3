"""Groups that share an image made one: connected components of a graph."""

from collections.abc import Collection, Hashable, Iterable, Sequence

import numpy as np


def components(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """For each of the nodes 0 to `count` - 1 the least node that links connect it with, itself without any.

    >>> components(5, [(3, 1), (4, 3)])
    [0, 1, 2, 1, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([*links], dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    return np.unique(label, return_index=True)[1][label].tolist()


def merged_groups(groups: Sequence[str], keys: Sequence[Collection[Hashable]]) -> list[str]:
    """The groups with those that hold one key made one, which is called as the first of them.

    `groups` names the group of each row, `keys` what each row holds (the digests of its images, say).

    >>> merged_groups(["a", "b", "c", "b"], [["x"], ["y"], ["x"], []])
    ['a', 'b', 'a', 'b']
    """
    names = list(dict.fromkeys(groups))
    rank = {name: k for k, name in enumerate(names)}
    holder: dict[Hashable, int] = {}
    links = [(holder.setdefault(k, rank[g]), rank[g]) for g, held in zip(groups, keys, strict=True) for k in held]
    least = components(len(names), links)
    return [names[least[rank[group]]] for group in groups]

"""Connected components and merged groups: compared with reachability by brute force."""

import numpy as np

from tasks.duplicates.components import components, merged_groups


def test_components_are_found_by_brute_force_too() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        n = int(rng.integers(2, 9))
        links = [(int(a), int(b)) for a, b in rng.integers(0, n, (n // 2 + 1, 2))]
        found = components(n, links)
        reach = np.eye(n, dtype=bool)
        for a, b in links:
            reach[a, b] = reach[b, a] = True
        for _ in range(n):
            reach = (reach.astype(int) @ reach.astype(int)) > 0
        assert found == reach.argmax(axis=1).tolist()


def test_groups_that_hold_one_key_are_called_as_the_first_of_them() -> None:
    assert merged_groups([], []) == []
    groups, keys = ["c", "b", "c", "a", "d"], [["1"], ["2"], ["3"], ["3", "2"], []]
    assert merged_groups(groups, keys) == ["c", "c", "c", "c", "d"]
    assert merged_groups(groups, [[]] * 5) == groups

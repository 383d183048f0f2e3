"""How sure one may be: folds, permutations, intervals, limits of detection, verdicts."""

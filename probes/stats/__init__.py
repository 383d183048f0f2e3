"""Statistics of held-out scores: folds, permutation tests, intervals, limits of detection, verdicts, credit."""

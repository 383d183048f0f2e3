"""Statistics of held-out scores: folds, permutation tests, intervals, verdicts, credit, loss."""

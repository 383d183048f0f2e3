"""Ridge and logistic regression on frozen features: decompositions, penalties, inner folds."""

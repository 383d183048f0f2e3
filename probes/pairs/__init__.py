"""Scores of pairs of images, and the answers of a model to them."""

"""Pairs of images that an encoder confuses: mine them, sort them, score them, and compare encoders."""

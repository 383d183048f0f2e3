"""Trials of attribution maps: whether a picture may be believed (METHOD 6.2)."""

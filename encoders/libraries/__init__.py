"""Towers that a library builds and loads in its own on-disk format."""

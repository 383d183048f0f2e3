"""Pelvic radiographs."""

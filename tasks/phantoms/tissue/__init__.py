"""Stained sections of four tissues."""

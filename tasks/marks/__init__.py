"""Coloured marks: drawn, found again, and placed."""

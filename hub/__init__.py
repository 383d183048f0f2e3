"""Repositories of models and data sets: pinned snapshots, byte ranges, weight files."""

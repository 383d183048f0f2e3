"""Grids of questions: one file names them, one command answers what is missing."""

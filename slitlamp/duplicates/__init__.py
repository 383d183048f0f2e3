"""Copies of one image in two groups: found, and refused, united or reported before anything is measured."""

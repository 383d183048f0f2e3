"""Axial CT of the abdomen, before or after contrast medium."""

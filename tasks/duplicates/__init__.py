"""Copies of one image under other bytes, sizes, greys, crops and turns."""

"""Endoscopic lumens with their exact depth."""

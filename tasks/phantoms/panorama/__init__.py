"""Panoramic films of the teeth."""

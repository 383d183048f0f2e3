"""Ultrasound fields with marks at known depths."""

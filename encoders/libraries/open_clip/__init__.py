"""Models of open_clip: image tower, text tower, their files."""

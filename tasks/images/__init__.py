"""Reading image files: one decoder per format, under one policy that is part of every key."""

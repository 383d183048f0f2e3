"""A user's own encoder: a file, a torch module, or a function of images."""

"""Plain towers of transformers: loading, image processors, text towers, their files."""

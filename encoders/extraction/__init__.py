"""From images to features: hooks at sites, readouts of tokens, tiles, volumes, precision."""

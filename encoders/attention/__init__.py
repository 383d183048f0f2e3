"""The inside of a transformer: attention of its blocks, and what single tokens add to a readout."""

"""Maps of an embedding: exact neighbours, projections, how far a map may be believed, and who moved."""

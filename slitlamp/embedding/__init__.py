"""Maps of an embedding: the pictures, the numbers that say whether they may be believed, and a page to look around."""

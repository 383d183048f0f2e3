"""A probing run: its cells, its workers, its judgement, its sentences."""

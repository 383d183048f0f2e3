"""The feature store filled, and nothing else: by one process, by ranks of torchrun, by shards, by Ray."""

"""The library that joins encoders, tasks, cache and probes: what a notebook imports."""

"""Runs put together: paired differences, a ranking with its uncertainty, learning curves, spread over seeds."""

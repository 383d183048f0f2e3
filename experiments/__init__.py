"""What a user runs: one file per command."""

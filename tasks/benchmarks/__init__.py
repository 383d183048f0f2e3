"""Published benchmarks as sources: a file without underscore is a name that `--data` takes.

Each file defines `source(path, options, settings) -> Source`: `path` is the user's local copy (None: the hub),
`options` are the words behind `+`, `settings` is how images are opened. It raises DataError and Undecided.
"""

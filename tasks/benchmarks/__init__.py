"""Published benchmarks as sources: a file without underscore is a name that `--data` takes."""

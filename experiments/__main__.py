"""The commands there are: `python -m experiments`, and what a name that is none may mean."""

import sys

from experiments.list import main

if __name__ == "__main__":
    sys.exit(main(["commands", *sys.argv[1:2]]))

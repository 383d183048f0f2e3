.DEFAULT_GOAL := check
.PHONY: help setup fix lint types test lowest fuzz mutants docs wheel check bench verify-weights

help:   ## Say what each target does
	@grep -E '^[a-z-]+: *.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
setup:  ## Create the environment from the pinned versions
	./uv sync --quiet
fix: setup  ## Format, and mend what can be mended
	./uv run --no-sync ruff format . && ./uv run --no-sync ruff check --fix .
lint: setup  ## Refuse what is not formatted or not idiomatic
	./uv run --no-sync ruff format --check . && ./uv run --no-sync ruff check .
types: setup  ## Refuse what does not type-check
	./uv run --no-sync pyright
test: setup  ## Run the tests that need neither downloaded weights nor a GPU
	./uv run --no-sync pytest -n 2
lowest:  ## Run the same tests on the oldest versions that pyproject.toml allows, in an environment of their own
	./uv venv --quiet --clear --no-config --python 3.11 .venv-lowest
	./uv pip install --quiet --no-config --python .venv-lowest --resolution lowest-direct --group dev --editable .
	.venv-lowest/bin/python -m pytest -n 2
mutants: setup  ## Plant every fault of tests/mutants.toml in a copy, and see that a test fails
	./uv run --no-sync python -m tests.mutants
fuzz: setup  ## Read 100,000 mutated files of every kind; SEED and START (the number of the first) may be given
	./uv run --no-sync python -m tests.fuzz.run --count $$((100000 - $(or $(START),0))) --seed $(or $(SEED),$$(date +%j)) \
	    --start $(or $(START),0)
docs: setup  ## Build the documentation; a dead link is an error
	./uv run --no-sync mkdocs build --strict --quiet
wheel: setup  ## Build the wheel and refuse anything in it but our packages
	rm -rf dist && ./uv build --quiet --wheel
	./uv run --no-sync python -m zipfile -l dist/*.whl | awk 'NR > 1 {print $$1}' | \
	    { ! grep -vE '^(cache|encoders|experiments|hub|plugins|probes|slitlamp|tasks)/|^slitlamp-[^/]*dist-info/'; }
check: lint types docs wheel test  ## What a commit must pass
bench: setup  ## Run every benchmark beside its peer
	for b in benchmarks/*.py; do ./uv run --no-sync python $$b || exit 1; done
verify-weights: setup  ## Check NAME against real weights where they are on this machine
	./uv run --no-sync pytest -m weights -k "[$(NAME)]"

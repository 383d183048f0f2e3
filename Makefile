.DEFAULT_GOAL := check
.PHONY: help setup fix lint types test docs wheel check bench verify-weights

# uv from the PATH, or fetched into a private place: Debian refuses `pip install` outside a venv
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)

help:   ## Say what each target does
	@grep -E '^[a-z-]+: *.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
.uv/bin/uv:
	python3 -m venv .uv && .uv/bin/python -m pip install --quiet uv
setup: $(filter .uv/bin/uv,$(UV))  ## Create the environment from the pinned versions
	$(UV) sync --quiet
fix: setup  ## Format, and mend what can be mended
	$(UV) run --no-sync ruff format . && $(UV) run --no-sync ruff check --fix .
lint: setup  ## Refuse what is not formatted or not idiomatic
	$(UV) run --no-sync ruff format --check . && $(UV) run --no-sync ruff check .
types: setup  ## Refuse what does not type-check
	$(UV) run --no-sync pyright
test: setup  ## Run the tests that need neither downloaded weights nor a GPU
	$(UV) run --no-sync pytest -q -n 2 --dist loadfile
docs: setup  ## Build the documentation; a dead link is an error
	$(UV) run --no-sync mkdocs build --strict --quiet
wheel: setup  ## List what the wheel holds: five packages and no tests
	rm -rf dist && $(UV) build --quiet --wheel && $(UV) run --no-sync python -m zipfile -l dist/*.whl | awk '{print $$1}' | grep -vE '^(File|cache/|encoders/|experiments/|probes/|tasks/|slitlamp-)' && exit 1 || true
check: lint types docs test  ## What a commit must pass
bench: setup  ## Run every benchmark beside its peer
	for b in benchmarks/*.py; do $(UV) run --no-sync python $$b || exit 1; done
verify-weights: setup  ## Check NAME against real weights where they are on this machine
	$(UV) run --no-sync pytest -q -m weights -k "$(NAME)"

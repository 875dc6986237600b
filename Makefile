# One target per chore, the same for people and for continuous integration. `make` alone lists them.

VENV := .venv
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
SUITES ?= ../shared/suites
ARGS ?=
export SUITES

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help verdict test check quick conformance bench prove clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

verdict: $(VENV)/.installed-core ## the whole answer over the packaged case: printed, and written to verdict.html
	@$(VENV)/bin/antagony verdict --out verdict.html $(ARGS)

test: $(VENV)/.installed-dev ## all tests; ARGS="-k kernel" chooses
	@$(VENV)/bin/python -m pytest -q -n auto $(ARGS)

check: $(VENV)/.installed-dev ## style, types, and everything that the packaged case holds
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/pyright
	@$(VENV)/bin/antagony lint

quick: $(VENV)/.installed-dev ## style and the fast tests
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/python -m pytest -q -n auto -m "not slow" $(ARGS)

conformance: $(VENV)/.installed-dev ## outside suites of models and dosing records, read from SUITES
	@$(VENV)/bin/python proofs/conformance.py $(ARGS)

bench: $(VENV)/.installed-bench ## speed beside other solvers, as ratios
	@$(VENV)/bin/python benchmarks/bench.py $(ARGS)

prove: $(VENV)/.installed-dev $(VENV)/.installed-bench ## the slow proofs: target against measured, written to reports/
	@$(VENV)/bin/python proofs/prove.py $(ARGS)

clean: ## remove what was built; the environment and the kernels' cache stay
	@rm -rf build dist verdict.html .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The environment: made by the first Python that is new enough; the package is installed again when pyproject.toml changes.

$(VENV)/bin/python:
	@for python in $(PYTHONS); do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    echo "making $(VENV) with $$($$python --version)"; \
	    $$python -m venv --clear $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	    echo "error: $$python cannot make an environment; install its venv module (Debian: apt-get install python3-venv)" >&2; \
	    exit 1; \
	done; \
	echo "error: no Python 3.11 or newer among: $(PYTHONS); install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
	exit 1

$(VENV)/.installed-%: pyproject.toml | $(VENV)/bin/python
	@echo "installing antagony$(if $(filter core,$*),, and what \"$*\" needs) into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.$(if $(filter core,$*),,[$*])'
	@touch $@

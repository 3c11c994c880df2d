# Two commands do everything on a machine with nothing but Debian and Python 3.11:
#   make demo    sets up, then trains a model on ALFWorld and shows the curve
#   make test    sets up, then runs every test
# `make check` is what to run before a commit; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Python compiles what it imports when it first does, which is a small part of torch; where it may not
# keep that, every process of the tests would compile it anew.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --no-compile -c constraints.txt
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

# What `python3 -m venv` and the editable install need from Debian, what the sandboxes do, and what browsers do.
DEBIAN_PACKAGES := python3-venv git
SANDBOX_PACKAGES := bubblewrap python3 curl docker.io debootstrap runsc
BROWSER_PACKAGES := chromium

.DEFAULT_GOAL := help
.PHONY: help setup test check lint typecheck unit demo parity bench docs clean

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.for-all ## Make the virtual environment

$(VENV)/.made: constraints.txt
	@sh scripts/debian-packages.sh $(DEBIAN_PACKAGES)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and alone: a resolver that meets it through another package may take a CUDA build
	$(PIP) '$(TORCH)'
	@touch $@

# Who tries the demo shouldn't wait for what only the tests and the documentation need.
$(VENV)/.for-demo: $(VENV)/.made pyproject.toml
	$(PIP) -e '.[train,plot]'
	@touch $@

$(VENV)/.for-all: $(VENV)/.made pyproject.toml
	@# Side by side: one of them waits for the disk while the other one reckons.
	sh scripts/debian-packages.sh $(SANDBOX_PACKAGES) $(BROWSER_PACKAGES) & packages=$$!; \
		$(PIP) -e '.[dev,docs]' && wait $$packages
	@touch $@ $(VENV)/.for-demo

test: setup ## Run every test
	$(BIN)/python -m pytest -q -n auto -m 'not alone'
	$(BIN)/python -m pytest -q -m alone

check: setup lint typecheck unit ## Lint, types and fast tests: run before every commit

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Folders of links, not links to folders: pyright passes over those, and would check the top files alone.
typecheck:
	@rm -rf build/typing && mkdir -p build/typing && cp -rs "$(CURDIR)/agentgym" build/typing/
	@for part in envs trainers tools sandboxes; do cp -rs "$(CURDIR)/$$part" build/typing/agentgym/; done
	$(BIN)/pyright

unit:
	$(BIN)/python -m pytest -q -n auto -m 'not integration and not slow and not gpu'

demo: $(VENV)/.for-demo ## Train a model on ALFWorld with ARPO and show the curve
	$(BIN)/agentgym demo

parity: setup ## Compare the ALFWorld engine with TextWorld's, string for string
	$(BIN)/python benchmarks/alfworld_parity.py --games 500

bench: setup ## Measure ours beside the peers
	$(BIN)/python benchmarks/alfworld_engine.py
	$(BIN)/python benchmarks/rollout_makespan.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/store.py

docs: setup ## Build the documentation
	$(BIN)/mkdocs build --strict

clean: ## Remove what was built (not the virtual environment)
	rm -rf build dist site *.egg-info

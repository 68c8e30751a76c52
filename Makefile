# hrd: make install, make run, make test. `make help` lists the rest.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-dev
SOURCE ?= auto
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install run test check lint format types quick clean check-tensorrt prove-tensorrt

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## make .venv with hrd and everything it needs in it

# scripts/install.sh says what it does, and names in one line what the system lacks.
$(STAMP): pyproject.toml scripts/install.sh
	@scripts/install.sh $(VENV)
	@touch $@

run: $(STAMP)  ## start the daemon and show readings (SOURCE=/dev/video0, COUNT=3 stops after three)
	@scripts/run.sh $(BIN) "$(SOURCE)" "$(COUNT)" $(ARGS)

test: check  ## lint, format, types and all tests

check: lint types $(STAMP)
	$(BIN)/python -m pytest -q

lint: $(STAMP)  ## style, format and minimum Python version
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vermin --quiet --eval-annotations --backport typing --target=3.8- --violations --no-tips --exclude tomllib hrd

types: $(STAMP)  ## static types
	$(BIN)/mypy

format: $(STAMP)  ## rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check-tensorrt: $(STAMP)  ## hold what the TensorRT worker uses against real wheels (1.1 GB of downloads)
	@$(BIN)/python scripts/check_tensorrt.py || [ $$? = 77 ]

prove-tensorrt: $(STAMP)  ## on a machine with an NVIDIA GPU: build, run, compare, time, measure, kill
	@$(BIN)/python scripts/prove_tensorrt.py $(ARGS)

clean:  ## remove everything that make has made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache

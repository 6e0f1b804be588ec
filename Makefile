# `make demo` and `make test` set everything up on a machine that has only Python 3.10 or newer.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-postgres check bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   train a classifier on a folder of photographs and name the report to open"
	@echo "make test   run the tests"
	@echo "make test-postgres  those that need PostgreSQL's server installed"
	@echo "make check  format, lint, types, layering"
	@echo "make bench  the measurements in bench/ (long; sets up the peers' own environment)"

demo: $(VENV)/.demo
	$(BIN)/foveal demo

test: $(VENV)/.dev
	@echo "Running the tests ..."
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

test-postgres: $(VENV)/.dev
	$(BIN)/python -m pytest -m postgres

check: $(VENV)/.dev
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layering.py

bench: $(VENV)/.dev
	$(BIN)/python bench/run.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Foveal needs Python 3.10 or newer; call make PYTHON=/path/to/python3.1x") if sys.version_info < (3, 10) else None'
	@echo "Making $(VENV) ..."
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Foveal and what it needs into $(VENV) (a few minutes the first time) ..."
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Foveal and its test tools into $(VENV) (a few minutes the first time) ..."
	$(PIP) -e '.[demo,heic,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

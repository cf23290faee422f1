# Needs Python 3.11 to 3.13 (with venv and headers), a C++17 compiler and make; the rest is installed
# into .venv from the pins in requirements/. `make help` lists the targets.
#
# Stamps in .venv say what is installed, so a second run does only what changed. pip is called with
# -qq: its warnings about a user's own configuration would bury the lines that matter; errors show.

VENV := .venv
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check
POLARS_GPU := build/polars-gpu
DEMO_ARGS ?=
PYTEST_ARGS ?=
SECONDS ?= 120

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types fuzz mutate lock peers clean clean-all

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- set-up ---------------------------------------------------------------------------------------

# Says nothing for a usable interpreter, else the reason. Shims of version managers exist for
# versions that are not installed, so a name on the PATH proves nothing: run it.
define CHECK_PYTHON
import os, sys, sysconfig
if not (3, 11) <= sys.version_info[:2] < (3, 14):
    sys.exit("it is Python %d.%d" % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit("it has no %s (Debian: apt-get install python3-venv)" % error.name)
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    sys.exit("it has no Python.h (Debian: apt-get install python3-dev)")
endef
export CHECK_PYTHON

# `make PYTHON=...` chooses the interpreter; else the first usable one of the list.
find_python = \
	for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
		reason=$$($$python -c "$$CHECK_PYTHON" 2>&1) && break; \
		case "$$reason" in "it "*) ;; *) reason="not found, or it does not run";; esac; \
		tried="$$tried  $$python: $$reason\n"; python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "emberline needs Python 3.11, 3.12 or 3.13 with venv and headers; tried:" >&2; \
		printf "$$tried" >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi

find_compiler = \
	for compiler in $${CXX:-c++ g++ clang++}; do \
		command -v $$compiler >/dev/null 2>&1 && break; compiler=; \
	done; \
	if [ -z "$$compiler" ]; then \
		echo "emberline builds its hash table with a C++17 compiler; found none of" \
			"$${CXX:-c++, g++, clang++}. Install one (Debian: apt-get install g++)," \
			"or name it: CXX=/path/to/g++ make ..." >&2; exit 1; \
	fi

$(VENV)/requirements.stamp: requirements/cpu.txt
	@$(find_compiler)
	@if ! $(BIN)/python $(PIP) --version >/dev/null 2>&1; then \
		$(find_python); \
		echo "== creating $(VENV) with $$python"; \
		$$python -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "== installing requirements/cpu.txt into $(VENV) (the first time: about 760 MB to download)"
	@$(BIN)/python $(PIP) install -qq --require-hashes -r requirements/cpu.txt
	@touch $@

NATIVE_SOURCES := kernels/CMakeLists.txt \
	$(wildcard kernels/cpu/* kernels/include/* etl/native/* dataloaders/cpu/*)

$(VENV)/emberline.stamp: $(VENV)/requirements.stamp pyproject.toml $(NATIVE_SOURCES)
	@$(find_compiler)
	@echo "== building the extensions and installing emberline into $(VENV) (editable)"
	@$(BIN)/python $(PIP) install -qq --no-build-isolation --no-deps -e .
	@touch $@

# --target never replaces what is there, hence the removal.
$(POLARS_GPU)/installed.stamp: $(VENV)/requirements.stamp requirements/polars-gpu.txt
	@rm -rf $(POLARS_GPU)
	@echo "== installing requirements/polars-gpu.txt into $(POLARS_GPU)"
	@$(BIN)/python $(PIP) install -qq --require-hashes --target $(POLARS_GPU) \
		-r requirements/polars-gpu.txt
	@touch $@

# --- use ------------------------------------------------------------------------------------------

demo: $(VENV)/emberline.stamp ## the whole line, from raw ratings to recommendations (DEMO_ARGS=...)
	@$(BIN)/emberline demo $(DEMO_ARGS)

test: $(VENV)/emberline.stamp $(POLARS_GPU)/installed.stamp ## all but the slow tests (PYTEST_ARGS=...)
	@$(BIN)/pytest -m "not slow" --cov --cov-report=term:skip-covered $(PYTEST_ARGS)
	@polars=$$(PYTHONPATH=$(POLARS_GPU) $(BIN)/python -c "import polars; print(polars.__version__)"); \
	grep -q "^polars==$$polars " requirements/gpu.txt || \
		{ echo "Polars $$polars was imported, not the one of $(POLARS_GPU)" >&2; exit 1; }; \
	echo "== tests/etl again, on Polars $$polars: the newest that the GPU engine allows"
	@PYTHONPATH=$(POLARS_GPU) $(BIN)/pytest -m "not slow" $(PYTEST_ARGS) tests/etl

lint: $(VENV)/requirements.stamp ## style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

# mypy refuses a folder without Python files, so benchmarks/ is named only where it has some.
types: $(VENV)/emberline.stamp ## static types, strict
	@$(BIN)/mypy src/emberline tests $(wildcard benchmarks/*.py)

bench-%: benchmarks/%.py $(VENV)/emberline.stamp ## run benchmarks/<name>.py in full
	@$(BIN)/python $<

fuzz: $(VENV)/emberline.stamp ## random operations on the table against a dict (SECONDS=120)
	@$(BIN)/python -m tests.kernels.fuzz --seconds $(SECONDS)

mutate: $(VENV)/emberline.stamp ## plant bugs in copies of the table: its tests must catch each
	@$(BIN)/python -m tests.mutations

# --- maintenance ----------------------------------------------------------------------------------

# The sets are resolved for Linux on x86-64, and the markers that say so on every line are dropped:
# with them, pip on another platform would install nothing and call it a success. One version for
# all Pythons (fewest), so that what the tests ran on is what everyone gets. Versions stay as they
# are where they still fit; `make lock UPGRADE=1` takes the newest.
UV_VERSION := 0.13.9
UV := build/uv/$(UV_VERSION)/bin/uv
COMPILE = $(UV) pip compile -q --generate-hashes --no-emit-index-url --no-strip-extras \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
UNIVERSAL := --universal --python-version 3.11 --fork-strategy fewest
PYTHON_311 := --python-platform x86_64-manylinux_2_28 --python-version 3.11

$(UV):
	@$(find_python); rm -rf build/uv; $$python -m venv build/uv/$(UV_VERSION)
	@build/uv/$(UV_VERSION)/bin/python $(PIP) install -qq uv==$(UV_VERSION)

lock: $(UV) ## resolve requirements/*.in into the pins of requirements/*.txt (UPGRADE=1: newest)
	@echo "== resolving requirements/"
	@$(COMPILE) $(UNIVERSAL) pyproject.toml requirements/cpu.in --extra test \
		-o requirements/cpu.txt >/dev/null
	@$(COMPILE) $(UNIVERSAL) pyproject.toml requirements/gpu.in --extra gpu --extra dask \
		--extra test -o requirements/gpu.txt >/dev/null
	@$(COMPILE) $(UNIVERSAL) requirements/polars-gpu.in -o requirements/polars-gpu.txt >/dev/null
	@$(COMPILE) $(PYTHON_311) requirements/nvtabular.in -o requirements/nvtabular.txt >/dev/null
	@$(COMPILE) $(PYTHON_311) requirements/tfra.in -o requirements/tfra.txt >/dev/null
	@sed -i -e "s/python_full_version < '3.14' and //" -e "s/platform_machine == 'x86_64' and //" \
		-e "s/ and sys_platform == 'linux'//" -e "s/ ; sys_platform == 'linux'//" \
		requirements/*.txt

peers: .venv-nvtabular/requirements.stamp .venv-tfra/requirements.stamp ## what we compare with (Python 3.11)

.venv-%/requirements.stamp: requirements/%.txt
	@python3.11 -c "import ensurepip, venv" >/dev/null 2>&1 || { echo "$* runs on Python 3.11" \
		"alone, and there is no python3.11 with venv on the PATH" >&2; exit 1; }
	@echo "== installing $< into .venv-$*"
	@python3.11 -m venv --clear .venv-$*
	@.venv-$*/bin/python $(PIP) install -qq --require-hashes -r $<
	@touch $@

clean: ## remove what builds and tests leave, but no environment
	@rm -rf build dist .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@rm -f $(VENV)/emberline.stamp
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

clean-all: clean ## the same, and the environments
	@rm -rf .venv .venv-nvtabular .venv-tfra

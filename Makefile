# What CI runs is what stands here. Two commands matter to a newcomer: `make demo` and `make test`.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
# The right ONNX Runtime: onnxruntime-gpu where nvidia-smi answers, else onnxruntime. They cannot live side by side.
RUNTIME ?= $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
# The lock makes this environment the same everywhere, while the package's own ranges stay open: `make lock` renews it.
# Without a GPU, PyTorch's CPU build is pinned as well: an open range would bring gigabytes of CUDA.
CONSTRAINTS := -c constraints/lock.txt $(if $(filter cpu,$(RUNTIME)),-c constraints/cpu.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q
# Environments for a single test are made by uv, in seconds, from the interpreters that this machine has.
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv
PYTHONS := 3.11 3.12 3.13
JOBS ?= $(shell nproc)
# The frameworks that models are exported from take gigabytes, and an environment of their own.
EXPORTERS ?= .venv-exporters

# $(call python,3.12): a Python of that version which starts. A name on the PATH alone says nothing: it may be a shim.
python = $(shell for p in python$(1) "$$HOME"/.pyenv/versions/$(1).*/bin/python$(1); do \
	"$$p" -c 'import venv, ensurepip' >/dev/null 2>&1 && { command -v "$$p"; break; }; done)

# $(call headless,ENVIRONMENT): OpenCV's usual build needs libGL; where the machine lacks it, the same version's headless build.
define headless
@$(1)/bin/python -c 'import cv2' 2>/dev/null || { echo "OpenCV's usual build needs libGL, which this machine lacks: taking its headless build"; \
	build=$$($(1)/bin/python -c 'from importlib.metadata import version; print("opencv-python-headless==" + version("opencv-python"))'); \
	$(1)/bin/python -m pip --disable-pip-version-check uninstall -q -y opencv-python; \
	$(1)/bin/python -m pip --disable-pip-version-check install -q --force-reinstall --no-deps $$build; }
endef

# $(call short,ENVIRONMENT): the short set there. Old versions warn of what they are; that is no fault of this package.
short = $(1)/bin/python -m pytest -q -n $(JOBS) -W default -p no:cacheprovider tests/test_short.py

# $(call fresh,ENVIRONMENT,PYTHON,WHAT): a fresh environment with WHAT uv installs, and the short set there.
define fresh
$(UV) venv -q --clear --seed --python $(2) $(1)
$(UV) pip install -q --python $(1)/bin/python -e '.[cpu]' $(3)
$(call headless,$(1))
$(UV) pip install -q --python $(1)/bin/python -c constraints/lock.txt pytest pytest-xdist
$(call short,$(1))
endef

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-quick test-lowest test-pythons test-exporters lint type bench build lock readme clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "expected Python >= 3.11 with venv and ensurepip on the PATH, found none;" \
		"install it (Debian: apt-get install python3-venv) or pass PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# One stamp for each runtime and set of extras: a second run installs nothing.
$(VENV)/setup-$(RUNTIME): pyproject.toml $(wildcard constraints/*.txt) | $(BIN)/python
	@echo "installing smoothcert with the $(RUNTIME) build of ONNX Runtime into $(VENV)"
	@$(BIN)/python -m pip --disable-pip-version-check uninstall -q -y onnxruntime onnxruntime-gpu 2>/dev/null || true
	@rm -f $(VENV)/setup-* $(VENV)/dev-* $(VENV)/bench-*
	@$(PIP) $(CONSTRAINTS) -e '.[$(RUNTIME)]'
	$(call headless,$(VENV))
	@touch $@

$(VENV)/dev-$(RUNTIME): $(VENV)/setup-$(RUNTIME)
	@$(PIP) $(CONSTRAINTS) -e '.[$(RUNTIME),dev]'
	$(call headless,$(VENV))
	@touch $@

$(VENV)/bench-$(RUNTIME): $(VENV)/dev-$(RUNTIME)
	@$(PIP) $(CONSTRAINTS) -e '.[$(RUNTIME),dev,bench,examples]'
	$(call headless,$(VENV))
	@touch $@

$(EXPORTERS)/exporters: pyproject.toml $(wildcard constraints/*.txt)
	@echo "installing every framework that models are exported from into $(EXPORTERS): 2 GB"
	@$(PYTHON) -m venv $(EXPORTERS)
	@$(EXPORTERS)/bin/python -m pip --disable-pip-version-check install -q -c constraints/cpu.txt \
		-e '.[cpu,dev,pytorch,sklearn,boosting,keras,jax]'
	$(call headless,$(EXPORTERS))
	@touch $@

setup: $(VENV)/setup-$(RUNTIME) ## install the package and the right ONNX Runtime into .venv
	@$(BIN)/python -c 'from smoothcert.model.providers import distributions; print("ONNX Runtime:", *(f"{n} {v}" for n, v in distributions().items()))'

setup-dev: $(VENV)/dev-$(RUNTIME)

demo: setup ## certify the embedded digit classifier
	@$(BIN)/smoothcert demo

test: setup setup-dev ## all tests, soundness runs included
	$(BIN)/python -m pytest -n $(JOBS)

test-quick: setup-dev ## without the long soundness runs
	$(BIN)/python -m pytest -n $(JOBS) -m 'not slow'

test-lowest: setup-dev ## the short set with the lowest version of each dependency that pyproject.toml declares
	$(if $(call python,3.11),$(call fresh,build/lowest,$(call python,3.11),--resolution lowest-direct),\
		@echo "lowest versions: SKIPPED, they have wheels for Python 3.11, and none here starts")

test-pythons: $(PYTHONS:%=test-python%) ## the short set on every Python that this machine has

test-python%: setup-dev
	$(if $(call python,$*),$(call fresh,build/python$*,$(call python,$*),-c constraints/lock.txt),\
		@echo "Python $*: SKIPPED, none here starts")

test-exporters: $(EXPORTERS)/exporters ## tests of every framework's exporter, Keras on each of its backends
	$(EXPORTERS)/bin/python -m pytest tests/test_pytorch.py tests/test_surrogate_training.py tests/test_sklearn.py tests/test_boosting.py tests/test_jax.py
	KERAS_BACKEND=tensorflow $(EXPORTERS)/bin/python -m pytest tests/test_keras.py
	KERAS_BACKEND=torch $(EXPORTERS)/bin/python -m pytest tests/test_keras.py
	KERAS_BACKEND=jax $(EXPORTERS)/bin/python -m pytest tests/test_keras.py tests/test_training_page.py

lint: setup-dev ## ruff: rules and format; import-linter: who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

type: setup-dev ## mypy, strict
	$(BIN)/mypy

bench: $(VENV)/bench-$(RUNTIME) ## benchmarks against named peers; PyTorch is installed for them
	$(BIN)/python -m benchmarks

build: setup-dev ## build the wheel, install it into a clean environment, run it from elsewhere, and the short set on it
	@rm -rf dist build/clean
	$(BIN)/python -m build -q --wheel
	@$(PYTHON) -m venv build/clean
	@build/clean/bin/python -m pip --disable-pip-version-check install -q $(CONSTRAINTS) "$$(ls dist/*.whl)[$(RUNTIME)]" pytest pytest-xdist
	$(call headless,build/clean)
	cd / && $(CURDIR)/build/clean/bin/python -c 'import smoothcert, smoothcert_exporters, smoothcert_calibration; print(smoothcert.__file__)'
	cd $(CURDIR)/build && rm -rf runs && clean/bin/smoothcert demo --run runs/wheel && clean/bin/smoothcert verify runs/wheel
	$(call short,build/clean)

# PyTorch's SymPy takes no newer mpmath, and the benchmarks need both.
lock: setup-dev ## choose the newest versions of all dependencies, for every Python at once
	printf 'opencv-python-headless\nmpmath<1.4\n' | $(UV) pip compile -q --universal --upgrade --python-version 3.11 --extra cpu --extra dev \
		--no-annotate --custom-compile-command 'make lock' -o constraints/lock.txt pyproject.toml -

readme: setup-dev ## run the README's commands and write what they print now into it
	$(BIN)/python -m tests.readme --write

clean: ## remove what was built
	rm -rf dist build $(VENV) $(EXPORTERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis

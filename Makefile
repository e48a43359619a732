# What CI runs is what stands here. Two commands matter to a newcomer: `make demo` and `make test`.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
# The right ONNX Runtime: onnxruntime-gpu where nvidia-smi answers, else onnxruntime. They cannot live side by side.
RUNTIME ?= $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
# Without a GPU, PyTorch's CPU build is pinned: an open range would bring gigabytes of CUDA.
CONSTRAINTS := $(if $(filter cpu,$(RUNTIME)),-c constraints/cpu.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q
JOBS ?= $(shell nproc)
# The frameworks that models are exported from take gigabytes, and an environment of their own.
EXPORTERS ?= .venv-exporters

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-quick test-exporters lint type bench build clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "expected Python >= 3.11 with venv and ensurepip on the PATH, found none;" \
		"install it (Debian: apt-get install python3-venv) or pass PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# One stamp for each runtime and set of extras: a second run installs nothing.
$(VENV)/setup-$(RUNTIME): pyproject.toml constraints/cpu.txt | $(BIN)/python
	@echo "installing smoothcert with the $(RUNTIME) build of ONNX Runtime into $(VENV)"
	@$(BIN)/python -m pip --disable-pip-version-check uninstall -q -y onnxruntime onnxruntime-gpu 2>/dev/null || true
	@rm -f $(VENV)/setup-* $(VENV)/dev-* $(VENV)/bench-*
	@$(PIP) $(CONSTRAINTS) -e '.[$(RUNTIME)]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { echo "OpenCV's usual build needs libGL, which this machine lacks: taking its headless build"; \
		$(BIN)/python -m pip --disable-pip-version-check uninstall -q -y opencv-python; $(PIP) opencv-python-headless; }
	@touch $@

$(VENV)/dev-$(RUNTIME): $(VENV)/setup-$(RUNTIME)
	@$(PIP) $(CONSTRAINTS) -e '.[$(RUNTIME),dev]'
	@touch $@

$(VENV)/bench-$(RUNTIME): $(VENV)/dev-$(RUNTIME)
	@$(PIP) $(CONSTRAINTS) -e '.[$(RUNTIME),dev,bench,examples]'
	@touch $@

$(EXPORTERS)/exporters: pyproject.toml constraints/cpu.txt
	@echo "installing every framework that models are exported from into $(EXPORTERS): 2 GB"
	@$(PYTHON) -m venv $(EXPORTERS)
	@$(EXPORTERS)/bin/python -m pip --disable-pip-version-check install -q -c constraints/cpu.txt \
		-e '.[cpu,dev,pytorch,sklearn,boosting,keras,jax]'
	@$(EXPORTERS)/bin/python -c 'import cv2' 2>/dev/null || { \
		$(EXPORTERS)/bin/python -m pip --disable-pip-version-check uninstall -q -y opencv-python; \
		$(EXPORTERS)/bin/python -m pip --disable-pip-version-check install -q opencv-python-headless; }
	@touch $@

setup: $(VENV)/setup-$(RUNTIME) ## install the package and the right ONNX Runtime into .venv
	@$(BIN)/python -c 'from smoothcert.providers import distributions; print("ONNX Runtime:", *(f"{n} {v}" for n, v in distributions().items()))'

setup-dev: $(VENV)/dev-$(RUNTIME)

demo: setup ## certify the embedded digit classifier
	@$(BIN)/smoothcert demo

test: setup setup-dev ## all tests, soundness runs included
	$(BIN)/python -m pytest -n $(JOBS)

test-quick: setup-dev ## without the long soundness runs
	$(BIN)/python -m pytest -n $(JOBS) -m 'not slow'

test-exporters: $(EXPORTERS)/exporters ## tests of every framework's exporter, Keras on each of its backends
	$(EXPORTERS)/bin/python -m pytest tests/test_pytorch.py tests/test_sklearn.py tests/test_boosting.py tests/test_jax.py
	KERAS_BACKEND=tensorflow $(EXPORTERS)/bin/python -m pytest tests/test_keras.py
	KERAS_BACKEND=torch $(EXPORTERS)/bin/python -m pytest tests/test_keras.py
	KERAS_BACKEND=jax $(EXPORTERS)/bin/python -m pytest tests/test_keras.py

lint: setup-dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup-dev ## mypy, strict
	$(BIN)/mypy

bench: $(VENV)/bench-$(RUNTIME) ## benchmarks against named peers; PyTorch is installed for them
	$(BIN)/python -m benchmarks

build: setup-dev ## build the wheel, install it into a clean environment, run it from elsewhere
	@rm -rf dist build/clean
	$(BIN)/python -m build -q --wheel
	@$(PYTHON) -m venv build/clean
	@build/clean/bin/python -m pip --disable-pip-version-check install -q $(CONSTRAINTS) "$$(ls dist/*.whl)[$(RUNTIME)]"
	cd / && $(CURDIR)/build/clean/bin/python -c 'import smoothcert, smoothcert_exporters, smoothcert_calibration; print(smoothcert.__file__)'
	cd $(CURDIR)/build && rm -rf runs && clean/bin/smoothcert demo --run runs/wheel && clean/bin/smoothcert verify runs/wheel

clean: ## remove what was built
	rm -rf dist build $(VENV) $(EXPORTERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The two commands are `make demo` and `make test`. All targets set up .venv first, from the lock.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# On Linux, pip's default torch brings CUDA along (gigabytes). TORCH_BACKEND=cpu takes the CPU build from
# PyTorch's own index instead; cu126, cu130, ... take a CUDA build of choice. Empty: what pip does.
TORCH_BACKEND ?=

.DEFAULT_GOAL := help
.PHONY: help demo run test soak bench docs lint format lock clean

help:
	@echo "make demo    run the whole service once, on a real job, and draw the result into demo/"
	@echo "make run     start the service and stay; Ctrl-C stops it"
	@echo "make test    run the tests, on all cores; some of them: make test TESTS='tests/contract -k etag'"
	@echo "make soak    run a thousand jobs while processes are killed at random moments (an hour on two cores)"
	@echo "make bench   measure everything against its target (ten minutes on two cores)"
	@echo "make docs    build the documents into build/site, check their links, run their code"
	@echo "make lint    ruff, mypy, import contracts"

demo: $(VENV)/.runtime
	$(BIN)/python -m examples.demo

run: $(VENV)/.runtime
	@exec $(BIN)/python -m worker.local

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(TESTS)

soak: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.acceptance.soak

bench: $(VENV)/.runtime
	$(BIN)/python -m benchmarks

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Choose versions anew; both files together, so that they agree.
lock: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-annotate --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --unsafe-package driftline --extra api --extra worker --extra client --extra embedded --extra postgres --extra s3 --extra traces \
		-o requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-annotate --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --unsafe-package driftline --extra api --extra worker --extra client --extra embedded --extra postgres --extra s3 --extra traces --extra docs --extra dev \
		-c requirements.lock -o requirements-dev.lock pyproject.toml
	sed -i.bak 's/+cpu$$//' requirements.lock requirements-dev.lock && rm -f requirements*.lock.bak

# The site, its links checked, and the code of its pages run.
docs: $(VENV)/.dev
	$(BIN)/python -m docs.fields
	$(BIN)/mkdocs build --quiet --strict
	$(BIN)/python -m docs.snippets

clean:
	rm -rf $(VENV) demo .driftline build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Driftline needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
ifneq ($(TORCH_BACKEND),)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet "uv==0.13.9"
	$(BIN)/uv pip install --python $(BIN)/python --torch-backend=$(TORCH_BACKEND) "torch==2.13.0"
endif
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-dev.lock
	@touch $@

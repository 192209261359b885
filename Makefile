# `make help` lists the targets. Each makes .venv from the locks if it is missing, then does its job.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIPELINE ?= win_adult
ENV ?= base

.DEFAULT_GOAL := help
.PHONY: help run test deploy-test lint format bench docs viz viz-build lock clean

help:  ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# uv installs the same wheels as pip in a third of the time; pip takes over where uv fails.
define install
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python -r $(1) || $(BIN)/python -m pip install --quiet -r $(1)
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps -e . || $(BIN)/python -m pip install --quiet --no-deps -e .
	@# Every command is a process that imports some thousand modules: their bytecode is made once, and not by the first.
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib src >/dev/null 2>&1 || true
	@touch $@
endef

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)

$(VENV)/.dev: requirements.lock requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	@touch $(VENV)/.run

run: $(VENV)/.run  ## run an experiment: make run, make run PIPELINE=win_adult ENV=smoke
	$(BIN)/kedro run --env=$(ENV) --pipelines=$(PIPELINE)

test: $(VENV)/.dev  ## all tests
	@# One thread each, or libraries' own threads contend; tests of a file stay together, for they share runs.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

deploy-test: $(VENV)/.dev  ## schedulers of deploy/ on copies of the project (minutes; installs Airflow)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest deploy -rs

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file benchmarks/mypy.ini benchmarks/*.py benchmarks/faults/*.py

format: $(VENV)/.dev  ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev  ## benchmarks, printed as ratios (an hour; two more need an exported model)
	for file in $(filter-out %_rollover.py %_serving.py,$(wildcard benchmarks/bench_*.py)); do $(BIN)/python $$file || exit 1; done

docs: $(VENV)/.dev  ## build the documentation into site/
	$(BIN)/mkdocs build --strict

viz: $(VENV)/.run  ## show the pipelines in the browser
	$(BIN)/kedro viz run

viz-build: $(VENV)/.run  ## build kedro viz as a static page into build/
	$(BIN)/kedro viz build

lock: | $(BIN)/python  ## resolve the locks anew
	$(BIN)/python -m uv pip compile -q pyproject.toml --python-version 3.11 --no-emit-index-url --no-header --no-annotate -o requirements.lock
	$(BIN)/python -m uv pip compile -q pyproject.toml --extra dev -c requirements.lock --python-version 3.11 --no-emit-index-url --no-header --no-annotate -o requirements-dev.lock

clean:  ## remove what runs and tools wrote, keep the data
	rm -rf build site .pytest_cache .mypy_cache .ruff_cache .hypothesis

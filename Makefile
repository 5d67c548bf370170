# `make demo` and `make test` set everything up by themselves; later starts skip what is done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HDFS_PIPELINE_HOME ?= data
export HDFS_PIPELINE_HOME
# Each process gets tests that follow one another, so that what a module or a folder shares is made once. Three processes
# keep two cores busy, since many tests wait.
SPREAD := --dist worksteal

.PHONY: help setup demo up test test-slow faults namenode lint docs format bench bench-peers clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; say which with make PYTHON=…" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	$(BIN)/hdfs-pipeline compile
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(VENV)/.installed  ## make .venv and install (a few minutes, once)

demo: $(VENV)/.installed  ## the main job on real logs, with a summary
	$(BIN)/hdfs-pipeline demo

up: $(VENV)/.installed  ## Kafka, Dagster on 127.0.0.1:3000, a stream worker and a replay, until Ctrl-C
	$(BIN)/hdfs-pipeline up

test: $(VENV)/.installed-dev  ## the test suite
	$(BIN)/python -m pytest $(SPREAD) --numprocesses 3 --ignore hdfs_pipeline_tests/browser
	$(BIN)/python -m pytest $(SPREAD) --numprocesses 2 hdfs_pipeline_tests/browser # each with a server and a browser

test-slow: $(VENV)/.installed-dev  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

namenode: $(VENV)/.installed-dev  ## find faults in a real NameNode (Hadoop 3.4.2, where HDFS_PIPELINE_SHARED holds it; 13 minutes)
	$(BIN)/python -m pytest -m real_namenode hdfs_pipeline_tests/domains/namenode/test_real_namenode.py

faults: $(VENV)/.installed-dev  ## kill, pause, poison, lock what runs, and count what is left (docs/faults.md)
	$(BIN)/python -m pytest $(SPREAD) --numprocesses 2 -m faults hdfs_pipeline_tests/faults

lint: $(VENV)/.installed-dev  ## ruff, mypy, import rules, Dagster's definitions, compose file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy hdfs_pipeline
	$(BIN)/lint-imports
	DAGSTER_DISABLE_TELEMETRY=1 $(BIN)/dg check defs
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

docs: $(VENV)/.installed-dev  ## the site of the documentation, into build/site
	$(BIN)/mkdocs build --quiet

format: $(VENV)/.installed-dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed  ## every benchmark, small, into docs/benchmarks.md (after `make demo`; peers after `make bench-peers`)
	$(BIN)/hdfs-pipeline bench all --into docs/benchmarks

bench-peers: deploy/bench-peers.txt  ## LogLead and Drain3 in an environment of their own
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement deploy/bench-peers.txt

clean:  ## remove what can be made again (not the data)
	rm -rf .venv .venv-peers .mypy_cache .ruff_cache .pytest_cache *.egg-info

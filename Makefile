# Everything a newcomer needs: `make run` and `make test`. Only Python 3.11, 3.12 or 3.13 must be there.
# The environment is made once, in .venv, from requirements.lock, every file checked by its hash.

SHELL := /bin/sh
CANDIDATES := python3 python3.13 python3.12 python3.11
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(SUITABLE)' 2>/dev/null && { echo $$p; break; }; done)

BIN := .venv/bin
UV := .uv/bin/uv
LOCKS := requirements.lock pyproject.toml tools/uv.requirements.txt
READY := .venv/.ready-$(shell cat $(LOCKS) | cksum | cut -d' ' -f1)
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock'

PACKAGES := schemas service_runtime ingest processor matcher market_data recorder tapehouse
VERDICT := not long and not quarantine
PURE := tests/unit tests/contracts tests/simulation
# The verdict on a commit is always the same: of its tests only the order is random, and the commit decides it.
ORDER = --randomly-seed=$(shell printf '%d' 0x$$(git rev-parse --short=7 HEAD 2>/dev/null || echo 1))
# Real services on a machine that others share are late now and then: three of their tests may fail once and run
# again, each shown with its traceback and counted ("rerun" in the closing line). Pure code never.
AGAIN := --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks

.PHONY: .environment run setup test test-pure test-services test-long test-search lint bench env lock lock-kafka clean

run: env  ## Start an exchange with demo accounts and traders; Ctrl-C stops it. More options: make run ARGS='...'
	@$(BIN)/tapehouse up --demo $(ARGS)

setup: env  ## Make the environment alone; then .venv/bin/tapehouse is there.

test: env  ## The verdict: lint, types, layers, then the tests, first those that need no server (docs/testing.md).
	@$(MAKE) -s lint
	@$(MAKE) -s test-pure
	@$(MAKE) -s test-services

test-pure: env  ## The tests of the verdict that need no server, on two processors.
	@$(BIN)/pytest -n 2 $(ORDER) -m '$(VERDICT) and not services' --maxfail=5 --durations=10 $(PURE)

test-services: env  ## The tests of the verdict on real servers, one after the other.
	@$(BIN)/pytest $(ORDER) -m '$(VERDICT) and services' --maxfail=5 --durations=10 -o faulthandler_timeout=60 $(AGAIN) tests

test-long: env  ## What takes longer, and what is in quarantine. Only some: make test-long TESTS=tests/e2e
	@$(BIN)/pytest -m 'long or quarantine' $(TESTS)
	@$(if $(TESTS),,$(MAKE) -s test-search)

test-search: env  ## Property tests with ten times the examples, each time others.
	@$(BIN)/pytest -n 2 -m 'hypothesis and not services' --hypothesis-profile=search --durations=5 $(PURE)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: env  ## Measure the pipeline on an exchange of its own; writes bench.json. Another: make bench BENCH=scale
	@$(BIN)/tapehouse bench $(or $(BENCH),pipeline --repeat 3 --alone) --json $(or $(JSON),bench.json) $(ARGS)

env: $(READY)

$(READY):
	@test -n '$(PYTHON)' || { echo 'Tapehouse needs Python 3.11, 3.12 or 3.13 with its venv module' \
		'(on Debian and Ubuntu: apt install python3-venv); none of $(CANDIDATES) is one.' >&2; exit 1; }
	@$(MAKE) -s .environment || { echo 'The environment could not be made: what is above says why. It is made' \
		'once, of packages that are downloaded; after that no network is needed.' >&2; exit 1; }
	@rm -f .venv/.ready-*
	@touch $@

.environment:
	@test -x $(UV) || { echo 'Making the environment in .venv with $(PYTHON) ...'; \
		$(PYTHON) -m venv .uv && .uv/bin/python -m pip install -q --require-hashes --no-deps \
		--disable-pip-version-check -r tools/uv.requirements.txt; }
	@test -x $(BIN)/python || $(UV) venv -q --no-project --python "$$(command -v $(PYTHON))" .venv
	@UV_COMPILE_BYTECODE=1 $(UV) pip sync -q --python $(BIN)/python --require-hashes requirements.lock
	@$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation --offline --editable .
	@$(BIN)/python -m compileall -q $(PACKAGES) tests

lock: env  ## Resolve the dependencies anew.
	$(COMPILE) pyproject.toml --group dev --group build -o requirements.lock $(ARGS)
	echo 'uv==$(shell $(UV) --version | cut -d' ' -f2)' | $(COMPILE) - -o tools/uv.requirements.txt

lock-kafka: env  ## Resolve Kafka's jars anew.
	$(BIN)/python -m tools.lock_kafka_jars

clean:  ## Remove the environment and all caches in this folder; the data folder stays.
	rm -rf .venv .uv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

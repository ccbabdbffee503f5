# kilter: every target does all of its own set-up, in .venv, from hashed locks.
# Needs python >= 3.11 with pip, git and make; root is not required.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
unexport PYTHONDONTWRITEBYTECODE # compiled files halve the time that a command takes to start

# The first interpreter that is new enough; `make PYTHON=... test` overrides.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKERS ?= 2
UV := 0.13.8

# Set-up steps for system packages act only for root, or where sudo asks nothing.
SYSTEM := $(shell command -v apt-get >/dev/null && { [ "$$(id -u)" = 0 ] && echo env || \
	{ sudo -n true 2>/dev/null && echo sudo -n; }; })
APT = $(SYSTEM) apt-get update -qq && $(SYSTEM) DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
CHROMIUM = command -v chromium || command -v chromium-browser || command -v google-chrome

.PHONY: help demo test lint format lock bench conformance fuzz torture soak screenshots clean browser wrk

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/.runtime ## start the demo (ARGS="..." is passed on to `kilter demo`)
	@exec $(BIN)/kilter demo $(ARGS)

test: lint browser ## lint, every test in parallel, coverage gates
	@$(BIN)/coverage erase
	@marks=; [ -n "$$($(CHROMIUM))" ] || marks='not browser'; \
	$(BIN)/pytest -n $(WORKERS) --cov --cov-report= $${marks:+-m "$$marks"} $(ARGS)
	@$(call gate,100,--include='$(PURE)',rings 0-3)
	@$(call gate,90,--omit='$(PURE)',the rest)

# Pure code has no excuse for an untested branch; elsewhere the threshold may only rise.
PURE := src/kilter/errors.py,src/kilter/contracts/*,src/kilter/measures/*,src/kilter/policy/*
gate = out=$$($(BIN)/coverage report --fail-under=$(1) $(2) 2>&1) \
	&& echo "coverage of $(3): $$(grep ^TOTAL <<<"$$out" | grep -oE '[0-9.]+%$$'), at least $(1)% asked" \
	|| { echo "$$out"; echo "coverage of $(3) is below $(1)%"; exit 1; }

lint: $(VENV)/.dev ## ruff, mypy, import contracts
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo 'not formatted: run `make format`'; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite the code in the house style
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format --quiet

bench: $(VENV)/.dev wrk ## speed beside a no-op and, with ARGS="--peers all", other servers (not part of `test`: cores must be idle)
	@$(BIN)/python -m benchmarks.serving $(ARGS)

conformance: $(VENV)/.dev ## every public client against a running kilter (ARGS=--triton: beside a real Triton)
	@$(BIN)/python -m tests.conformance $(ARGS)

fuzz: $(VENV)/.dev $(VENV)/.fuzz ## hostile bytes and schemathesis against a running kilter (ARGS="--cases 1000000 --seed 2", or --differential)
	@$(BIN)/python -m tests.fuzz $(ARGS)
	@$(BIN)/python -m tests.fuzz.schema --program $(VENV)/fuzz/bin/schemathesis

torture: $(VENV)/.dev ## hundreds of kills and swaps under load: nothing acknowledged may be lost, nothing felt (takes minutes)
	@$(BIN)/python -m tests.torture.kill --kills 100 --durable process $(ARGS)
	@$(BIN)/python -m tests.torture.kill --kills 100 --durable disk $(ARGS)
	@$(BIN)/python -m tests.torture.swaps --swaps 200

soak: $(VENV)/.dev ## ten million requests in a row: memory stays flat, every answer is in the log once (ARGS="--requests 1000000")
	@$(BIN)/python -m tests.torture.soak $(ARGS)

screenshots: $(VENV)/.dev browser ## redo the pictures of the docs from the browser tests
	@SCREENSHOTS=docs/images $(BIN)/pytest -m browser tests $(ARGS)

lock: $(VENV)/.uv ## renew requirements/*.txt from pyproject.toml (ARGS=--upgrade for newer versions)
	@$(call compile,build,runtime)
	@$(call compile,dev,dev)
	@$(call resolve,--group pyproject.toml:fuzz,fuzz)

# No index and no download address: a lock says what, the reader's own settings say from where.
compile = $(call resolve,pyproject.toml --group $(1),$(2))
resolve = $(VENV)/uv/bin/uv pip compile $(1) --output-file requirements/$(2).txt --quiet \
	--universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
	--custom-compile-command 'make lock' $(ARGS)

clean: ## remove everything that is not in git, the environment included
	@rm -rf $(VENV) .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ── Set-up: a stamp per step, redone only when its input changes ─────────────────────────────────

install = $(PIP) install --require-hashes --only-binary=:all: -r requirements/$(1).txt \
	&& $(PIP) install --no-deps --no-build-isolation --no-index -e .

$(VENV)/.created:
	@[ -n "$(PYTHON)" ] || { echo 'python 3.11 or newer is needed; install it, or name it: make PYTHON=/path/to/python'; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		[ -n "$(SYSTEM)" ] || { echo 'python cannot make environments: apt-get install python3-venv, then run make again'; exit 1; }; \
		echo 'installing python3-venv'; $(APT) python3-venv >/dev/null; }
	@echo 'making $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(VENV)/.created
	@echo 'installing kilter into $(VENV)'
	@$(call install,runtime)
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/.created
	@echo 'installing kilter with its test tools into $(VENV)'
	@$(call install,dev)
	@touch $@ $(VENV)/.runtime # the dev lock holds the runtime lock

$(VENV)/.fuzz: requirements/fuzz.txt | $(VENV)/.created
	@echo 'installing schemathesis into $(VENV)/fuzz'
	@$(PYTHON) -m venv $(VENV)/fuzz
	@$(VENV)/fuzz/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary=:all: -r requirements/fuzz.txt
	@touch $@

$(VENV)/.uv: Makefile | $(VENV)/.created
	@$(PYTHON) -m venv $(VENV)/uv
	@$(VENV)/uv/bin/python -m pip --disable-pip-version-check --quiet install uv==$(UV)
	@touch $@

# Never fails: without a browser the tests marked `browser` are left out, and that is said.
browser:
	@[ -n "$$($(CHROMIUM))" ] || [ -z "$(SYSTEM)" ] || { echo 'installing chromium'; $(APT) chromium >/dev/null 2>&1; } || true
	@[ -n "$$($(CHROMIUM))" ] || echo 'no chromium: tests marked `browser` are left out; apt-get install chromium to run them'

# As browser: without it the benchmark loads with Python, and says so.
wrk:
	@command -v wrk >/dev/null || [ -z "$(SYSTEM)" ] || { echo 'installing wrk'; $(APT) wrk >/dev/null 2>&1; } || true
	@command -v wrk >/dev/null || echo 'no wrk: the load is made by Python, which costs as much as a server; apt-get install wrk for better figures'

# Every target sets up .venv by itself; the second time that takes a moment only.
# PYTHON=/path/to/python names the Python to use, ARGS="-k torn" goes to pytest.

COMMA := ,
SPACE := $(EMPTY) $(EMPTY)
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest
# many a test waits for processes and the disk, so that three keep two processors busy
WORKERS ?= 3
ARGS ?=
# empty counts as unset: what one run has compiled of the tests, the next one need not compile
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-all durations soak real-agents frameworks check bench peers coverage coverage-all mutants lock docs release clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: ## make .venv with what thence needs to run, and the built wheel
	@sh tools/bootstrap.sh

setup-dev: ## the same with what developing needs besides
	@sh tools/bootstrap.sh dev

demo: setup ## see it work
	@$(VENV)/thence demo

TESTS := $(PYTEST) --ignore=tests/house -n $(WORKERS) --dist loadgroup

test: setup-dev ## a person's tests, in 3 minutes: every promise, then the cheapest of the rest
	@$(TESTS) --tier=person $(ARGS)

test-all: setup-dev ## the rest of the tests, and three times the examples of each property
	@$(TESTS) --tier=rest $(ARGS)

durations: setup-dev ## time every test; by that the two above are chosen
	@$(TESTS) --renew-durations $(ARGS)

soak: ## the attacks that take hours; ARGS=kills runs one part of tests/crash/soak.py; Ray: 250 MB
	@sh tools/bootstrap.sh dev ray
	@$(VENV)/python -m tests.crash.soak $(ARGS)

real-agents: setup-dev ## real coding agents against the hooks; ARGS=windows plays one scenario
	@$(VENV)/python -m tests.trace.agents.real $(ARGS)

# each in an environment of its own, where its pins fit no other
FRAMEWORKS := frameworks frameworks-adk frameworks-crewai frameworks-llama-index
frameworks: setup-dev $(FRAMEWORKS:%=.venv-%/ready) ## real agent frameworks behind thence; ARGS=pydantic-ai plays one scene
	@for place in $(FRAMEWORKS); do \
		.venv-$$place/bin/pip install --quiet --disable-pip-version-check --no-deps --no-index --force-reinstall \
			.venv/wheels/*.whl || exit 1; \
	done
	@mkdir -p .venv-frameworks/node
	@cp tests/trace/frameworks/node/* .venv-frameworks/node/
	@test -d .venv-frameworks/node/node_modules || \
		npm ci --silent --no-audit --no-fund --prefix .venv-frameworks/node
	@$(VENV)/python -m tests.trace.frameworks $(ARGS)

# an environment of its own for what goes into no other: bench, frameworks, mutants, release
.venv-%/ready: requirements-%.lock
	@echo "making .venv-$* with what $< pins (up to a minute)" >&2
	@rm -rf .venv-$*
	@$(VENV)/python -m venv .venv-$*
	@.venv-$*/bin/pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes \
		--requirement $<
	@touch $@

check: setup-dev ## style, types, imports, the rules of the house
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports
	@$(PYTEST) -n 2 tests/house $(ARGS)

bench: setup-dev .venv-bench/ready ## the measurements; ARGS=working runs one part
	@$(VENV)/python -m bench $(ARGS)

peers: setup-dev .venv-bench/ready ## what other loggers keep of what they acknowledged, when killed
	@$(VENV)/python -m bench.kill $(ARGS)

ROOMS := core log
# Signal handlers that raise amid a tracer leave its lock taken for ever, and so does a fork; where
# the disk is full it fails too; coverage imports SQLite, of which a test says that nothing does.
UNTRACED := tests/log/test_many_hands_signals.py tests/log/open/test_answers.py \
	tests/sim/test_event_filter.py tests/cli/test_doctor.py tests/crash/test_full_disks.py
TRACED := $(TESTS) --tier=person $(addprefix --ignore=,$(UNTRACED)) --cov --cov-report=

coverage: setup-dev ## a person's tests of core and log, with the branches they reach: 95 %
	@$(TRACED) $(addprefix tests/,$(ROOMS)) $(ARGS)
	@$(VENV)/coverage report --fail-under=95 \
		--include='$(subst $(SPACE),$(COMMA),$(patsubst %,*/thence/%/*,$(ROOMS)))'

coverage-all: setup-dev ## all of a person's tests, in 8 minutes: 90 %
	@$(TRACED) $(ARGS)
	@$(VENV)/coverage report --fail-under=90

mutants: setup .venv-mutants/ready ## which small changes to the code no test notices; ARGS=core, ARGS=log/writer
	@.venv-mutants/bin/python -m tools.mutants $(ARGS)

lock: ## renew the files of requirements
	@sh tools/lock.sh

docs: setup-dev ## the public names of Python as a site, in site/
	@$(VENV)/python -m tools.api_site site

release: setup-dev .venv-release/ready ## build sdist and wheel into dist/, twice, and try them; FOR=upload refuses what is not ready
	@$(VENV)/python -m tools.release $(FOR)

clean: ## remove what these targets made
	rm -rf .venv .venv-former .venv-bench .venv-frameworks* .venv-mutants .venv-release .real-agents mutants dist site build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -f .coverage .coverage.*
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# Needs git, make and Python 3.11 or newer with venv and pip; everything else is installed into
# $(VENV) from the lock files. `make VENV=elsewhere …` uses another environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TASKS ?= 2000
CONSENSUS ?=
SEEDS ?= 1-300
FOR ?= 60
# Tests of real processes wait more than they work: three times as many at a time as there are CPUs. With
# twice as many, two thirds of two CPUs were idle while they ran. Who has nothing left takes tests of
# another: else one alone would have nearly all of tests/cluster.
TESTERS ?= 6
ONLY ?=
FAULTS ?= --kill random --kill worker --kill client --kill all --pause leader --pause worker \
          --partition leader --partition follower --lossy random

# make CONSENSUS=zab …: all of it with this protocol. Without: tests with each, the rest with Raft.
PROTOCOL := $(if $(CONSENSUS),--consensus $(CONSENSUS))

# Each of the thousands of processes below would compile all of Raftwork anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test compiled unit cluster browser sim soak versions mutants teeth chaos faults fuzz lint types mypy pyright oldest suites bench promtool docs lock clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: $(VENV)/.ready ## Three brokers, two workers: kill the leader and a worker under load
	@$(BIN)/python -m raftwork demo --tasks $(TASKS) $(PROTOCOL)

test: $(VENV)/.ready ## Every test: units, simulated clusters, clusters of real processes
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal -m "not chaos and not browser" $(PROTOCOL)

# The processes of `make test` all begin with that, at the same time: each would compile nearly all of it.
compiled: $(VENV)/.ready ## Find all tests, and keep what is compiled for it
	@$(BIN)/python -m pytest --collect-only --quiet > /dev/null

unit: $(VENV)/.ready ## Only the fast tests without processes
	$(BIN)/python -m pytest tests/unit

cluster: $(VENV)/.ready ## Only the tests with clusters of real processes
	$(BIN)/python -m pytest tests/cluster $(PROTOCOL)

browser: $(VENV)/.ready ## The dashboard in a real Chromium; screenshots go to bench/out/shots
	$(BIN)/python -m pytest tests/browser

sim: $(VENV)/.ready ## Simulated histories of faults: make sim SEEDS=1-5000; one, with its trace: make sim SEED=7
	$(BIN)/python -m tests.sim.cores $(PROTOCOL) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))
	$(BIN)/python -m tests.sim.system $(PROTOCOL) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

soak: $(VENV)/.ready ## Hours of simulated systems; started again, it goes on where it was: make soak SEEDS=1-10000
	$(BIN)/python -m tests.sim.system $(PROTOCOL) --seeds $(SEEDS) --soak $(VENV)/soak$(CONSENSUS).jsonl

mutants: $(VENV)/.ready ## Deliberate bugs, and what it takes until the simulator finds them
	$(BIN)/python -m tests.sim.mutants

teeth: $(VENV)/.ready ## Each cluster test's promise broken on purpose, and the test seen to fail: make teeth ONLY=kill
	$(BIN)/python -m tests.teeth --only "$(ONLY)"

chaos: $(VENV)/.ready ## Mixed faults under load for a minute, then the verdict: make chaos FOR=1800
	$(BIN)/python -m raftwork chaos $(FAULTS) $(PROTOCOL) --every 4 --lasting 1.5 --for $(FOR)

faults: $(VENV)/.ready ## Each fault by itself: kills, pauses, networks, disks, clocks
	$(BIN)/python -m pytest -n 2 tests/chaos $(PROTOCOL)

versions: $(VENV)/.ready ## The same seeds are the same histories under every Python that is here
	$(BIN)/python -m tests.sim.system.versions

# Its wheels are for Linux on x86-64 alone, so it is not among the locked dependencies.
fuzz: $(VENV)/.ready ## Coverage-guided fuzzing of every decoder: make fuzz FOR=600
	$(BIN)/python -m pip install --quiet atheris==3.0.0
	$(BIN)/python -m tests.fuzz --for $(FOR) --only "$(ONLY)"

lint: $(VENV)/.ready-dev ## Format, lint and layering
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: mypy pyright ## Both type checkers

mypy: $(VENV)/.ready-dev
	$(BIN)/mypy

pyright: $(VENV)/.ready-dev
	$(BIN)/pyright --pythonpath $(BIN)/python

# In an environment of its own. Versions of what these need besides are pip's to choose.
oldest: $(VENV)-oldest/.ready ## What is beside other libraries, with the oldest of them that we name
	$(VENV)-oldest/bin/python -m pytest -q tests/unit/contrib tests/unit/conversion tests/unit/test_executor.py \
	    tests/strangers/test_howto_executor.py tests/strangers/test_howto_engines.py tests/strangers/test_howto_web.py

suites: $(VENV)/.ready ## Tests of CPython and others, with Raftwork in the place of theirs: make suites ONLY=cpython
	$(BIN)/python -m tests.suites --only "$(ONLY)" --write

bench: $(VENV)/.ready ## Tasks a second and failover times on this machine
	$(BIN)/python -m bench

promtool: ## Prometheus' own tool on the rules and alerts in deploy/, and when these fire
	@command -v promtool > /dev/null || { \
	    root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	    $$root apt-get install -y -qq --no-install-recommends prometheus > /dev/null; }
	promtool check config deploy/prometheus/prometheus.yml
	promtool test rules tests/prometheus/alerts.yml tests/prometheus/rules.yml

docs: $(VENV)/.ready-docs ## The documentation as a site, in dist/docs; dead links fail
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lock: $(VENV)/.ready-dev ## Choose new versions of the dependencies (needs uv)
	uv pip compile --upgrade --universal --python-version 3.11 --no-annotate \
	    --custom-compile-command "make lock" \
	    pyproject.toml --group build --group test -o requirements.lock
	uv pip compile --upgrade --universal --python-version 3.11 --no-annotate \
	    --custom-compile-command "make lock" -c requirements.lock \
	    pyproject.toml --group dev -o requirements-dev.lock
	uv pip compile --upgrade --universal --python-version 3.11 --no-annotate \
	    --custom-compile-command "make lock" -c requirements-dev.lock \
	    pyproject.toml --group docs -o requirements-docs.lock

clean: ## Remove the environment and every cache
	rm -rf $(VENV) $(VENV)-oldest .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "$(PYTHON) is older than Python 3.11: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The package itself is installed without build isolation: its build backend is locked, too.
$(VENV)/.ready: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)-oldest/.ready: requirements.lock constraints-oldest.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)-oldest
	grep -E '^(pytest|pytest-timeout|pytest-xdist|hypothesis|flit-core)==' requirements.lock \
	    | $(VENV)-oldest/bin/python -m pip install --quiet --requirement /dev/stdin --requirement constraints-oldest.txt
	$(VENV)-oldest/bin/python -m pip install --quiet --no-build-isolation --editable '.[crypto]'
	@touch $@

$(VENV)/.ready-docs: requirements-docs.lock $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --requirement requirements-docs.lock
	@touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.lock
	@touch $@

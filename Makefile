# Needs Python >= 3.11, make and a C compiler; everything else goes into .venv, by itself.
#
#   make demo              a manager and three agents with this machine's figures, until Ctrl-C
#   make demo SECONDS=10   the same for ten seconds
#   make demo LIMIT=5      an alert, raised by a rule, for each host with processors, memory or a disk above 5 % (else 90)
#   make demo SECURE=1     the same with keys and access rules: all is encrypted, and an agent that poses as another is refused
#   make test              the tests
#   make simulation SEEDS=376      one simulated life of a mesh again, or several: SEEDS=1000-1099
#   make simulation SEEDS=5 ONLY=stores      of one kind only: meshes (of events), stores, logs or trusted
#   make soak              thousands of such lives (SEEDS=100000-104999)
#   make kill-test         a million log records through 120 kills of writers, relay and collector, compared one by one
#   make kill-test RECORDS=100000 KILLS=12 SEED=4      fewer, or one that failed again
#   make fuzz              a million hostile inputs for everything that reads bytes from elsewhere (INPUTS=, ONLY=, SEED=)
#   make bench             the benchmarks; names the peers that are missing and how to get them
#   make docs              the documentation as HTML, in docs/_build/html, and runs every snippet of it
#   make check             lint, types, contracts and tests
#   make dist              source archive, wheel, bill of materials (CycloneDX) and their SHA-256, in dist/
#   make reproducible      builds archive and wheel in three places and compares them byte by byte
#   make audit             asks for known vulnerabilities of the dependencies; fails, too, if it cannot ask (needs network)

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# Tests start Python hundreds of times: without compiled modules each start takes four times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test simulation soak kill-test fuzz bench docs html snippets check lint types contracts constraints dist reproducible audit clean
.DEFAULT_GOAL := test

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python >= 3.11, or say make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 is needed and $(PYTHON) is $$($(PYTHON) --version 2>&1): say make PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up .venv"
	@rm -f $@
	@$(PYTHON) -m venv .venv || \
	  { echo "$(PYTHON) cannot make virtual environments (on Debian: apt install python3-venv)" >&2; exit 1; }
	@$(PIP) install --constraint constraints.txt hatchling editables
	@$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

# In bash SECONDS is the age of the shell: make's own $(SECONDS) is meant, from its command line or environment.
demo: $(READY)
	@$(BIN)/python -m broker demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(LIMIT),--alert-at $(LIMIT)) $(if $(filter-out 0,$(SECURE)),--secure)

# A fixed hash seed gives tests the same names in each worker; a file's tests stay in one.
SIDE_BY_SIDE := $(BIN)/python -m pytest --numprocesses auto --dist loadfile
# These wait for no real clock, socket or process;
PURE := $(addprefix tests/,fuzz logs protocol rules schema simulation sinks stores testing trust values)
PURE += $(patsubst %,tests/test_%.py,endpoint events extras facades journaling log_records mesh readers store_proxy topics)
# these for programs that start, more than for anything else: three at a time keep two cores busy;
PROGRAMS := $(addprefix tests/,cli journal test_benchmarks.py test_docs.py test_examples.py test_installed.py \
  test_public.py test_readme.py test_release.py test_stores_disk.py test_supply_chain.py)
SEVERAL := $(BIN)/python -m pytest --numprocesses 3 --dist loadfile
# and the others for real connections: two at a time, however many cores there are (tests/conftest.py halves them).
IN_HALVES := $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

test: $(READY)
	PYTHONHASHSEED=0 $(SIDE_BY_SIDE) $(PURE)
	PYTHONHASHSEED=0 $(SEVERAL) $(PROGRAMS)
	PYTHONHASHSEED=0 $(IN_HALVES) $(addprefix --ignore=,$(PURE) $(PROGRAMS))
	PYTHONHASHSEED=0 $(SEVERAL) --through blocking

simulation soak: $(READY)
	$(BIN)/python tests/simulation/simulated_runs.py $(SEEDS) $(if $(ONLY),--only $(ONLY))

simulation: SEEDS ?= 1000-1099
soak: SEEDS ?= 100000-104999

kill-test: $(READY)
	$(BIN)/python tests/interop/logs_kill_test.py --records $(RECORDS) --kills $(KILLS) $(if $(SEED),--seed $(SEED))

RECORDS ?= 1000000
KILLS ?= 120

fuzz: $(READY)
	$(BIN)/python tests/fuzz/fuzz_main.py --inputs $(INPUTS) $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

INPUTS ?= 1000000

bench: $(READY)
	$(BIN)/python -m benchmarks all

docs: html snippets

html: $(READY)
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --jobs auto docs docs/_build/html

# `make test` runs them, too.
snippets: $(READY)
	$(BIN)/python -m pytest $(addprefix tests/,test_docs.py test_readme.py)

check: lint types contracts test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

contracts: $(READY)
	$(BIN)/lint-imports

# The newest versions that pyproject.toml allows, found in an environment of their own.
constraints:
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	  $(PYTHON) -m venv "$$scratch" && \
	  "$$scratch/bin/python" -m pip --quiet --disable-pip-version-check install --upgrade '.[dev]' && \
	  { echo "# Exact versions of everything in .venv; 'make constraints' writes this file."; \
	    "$$scratch/bin/python" -m pip --disable-pip-version-check freeze --exclude broker-mesh 2>/dev/null | grep -E '^[A-Za-z0-9._-]+==[^ ]+$$'; \
	  } > "$$scratch/constraints.txt" && \
	  cp "$$scratch/constraints.txt" constraints.txt

dist: $(READY)
	@$(BIN)/python -m tools.dist

reproducible: $(READY)
	@$(BIN)/python -m tools.dist --check

# The pinned versions, and the lowest that pyproject.toml allows; URL=... for another OSV database.
audit: $(READY)
	@$(BIN)/python -m tools.audit $(if $(URL),--url $(URL))

clean:
	rm -rf .venv build dist docs/_build .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

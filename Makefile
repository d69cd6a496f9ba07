# Everything sets up what it needs in .venv, from the pinned versions of constraints.txt.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
QUIET  := $(shell [ -t 2 ] || echo --quiet)  # on a terminal pip shows what it is at
PIP    := $(PY) -m pip --disable-pip-version-check install $(QUIET) --constraint constraints.txt
DATA   ?= ../shared/data
NATIVE := $(shell find native -type f)
SDKS   := .venv-cohere5/made.txt .venv-current/made.txt  # the vendors' clients, which the server's tests run

INTEGRATIONS := tests/test_integration_*.py tests/test_asking.py tests/test_retrieve.py tests/test_search_index.py

.PHONY: compat docs demo test test-scale check package audit bench measured soak reproduce-mini verify-models clean system system-scale system-tests

demo: $(VENV)/run.stamp        ## set up, then rank the shipped documents with the bundled model
	@examples/demo.sh $(VENV)/bin/crossrank

test: $(VENV)/test.stamp $(SDKS)  ## set up, then all tests with coverage
	$(PY) -m pytest --cov --cov-report=term

check: $(VENV)/check.stamp     ## format, lint, types, import contracts, security lint, size budget, README's figures
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/bandit --quiet --recursive --configfile pyproject.toml src
	$(VENV)/bin/zizmor --offline --quiet --no-progress .github
	$(PY) scripts/size_budget.py
	$(PY) benchmarks/tables.py
	$(PY) scripts/check_release.py

package: $(VENV)/package.stamp ## what is released, checked and tried, in dist/: source, a wheel for each of PYTHONS, SBOM; PACKAGE=--twice compares two builds
	scripts/package.sh $(PACKAGE) $(PYTHONS)

audit: $(VENV)/package.stamp   ## known vulnerabilities of what is pinned; asks a database over the network
	$(VENV)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

bench: $(VENV)/recipe.stamp $(VENV)/test.stamp  ## all benchmarks, printed; DATA is a folder of sets in BEIR layout; BENCH="--write --log" keeps them
	$(PY) benchmarks/run.py --data $(DATA) $(BENCH)

measured: $(VENV)/test.stamp   ## README's figures but quality, and models by shape, measured and written there; all others: make bench BENCH=--write
	$(PY) benchmarks/run.py --data $(DATA) --write startup peers shapes exactness footprint

docs: $(VENV)/docs.stamp       ## the documentation, as build/site; warnings are failures
	$(PY) scripts/docs

reproduce-mini: $(VENV)/recipe.stamp  ## the bundled model from its recipe: hours on a CPU, minutes on a GPU; goes on where it was stopped
	$(VENV)/bin/crossrank train recipes/crossrank-mini-1.toml --data $(DATA) --resume
	$(VENV)/bin/crossrank train recipes/crossrank-mini.toml --data $(DATA) --resume

compat: $(VENV)/test.stamp     ## the integrations' tests with the newest and with the oldest versions that they declare
	$(PY) -m pytest $(INTEGRATIONS)
	rm -rf $(VENV)/oldest
	$(PY) -m pip --disable-pip-version-check install --quiet --no-deps --target $(VENV)/oldest -r tests/compat-oldest.txt
	PYTHONPATH=$(CURDIR)/$(VENV)/oldest $(PY) -m pytest $(INTEGRATIONS)

test-scale: $(VENV)/scale.stamp ## on clusters of this machine's own: jobs whose workers, nodes and drivers are killed, Ray Serve, Spark
	$(PY) -m pytest -m scale --durations 10

verify-models: $(VENV)/test.stamp  ## real weights against transformers, where a hub can be reached; MODELS names some
	$(PY) scripts/verify_models.py $(MODELS)

soak: $(VENV)/scale.stamp $(SDKS) .venv-schemathesis/made.txt  ## what takes long: more random examples, sanitizers over the C++ tests, and those on ARM
	HYPOTHESIS_PROFILE=soak $(PY) -m pytest -m "property or soak or scale" --timeout 3600
	scripts/sanitize.sh $(VENV)/bin
	scripts/cross_arm.sh $(VENV)/bin

clean:                         ## remove everything that was made here
	rm -rf $(VENV) .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov

system:
	@scripts/system_packages.sh $(PYTHON)

system-tests:
	@scripts/system_packages.sh $(PYTHON) tests

system-scale:
	@scripts/system_packages.sh $(PYTHON) scale

$(VENV)/base.stamp: constraints.txt | system
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing what builds crossrank ..."
	@$(PIP) pip
	@$(PIP) --group build
	@touch $@

$(VENV)/run.stamp: $(VENV)/base.stamp pyproject.toml $(NATIVE)
	@echo "Installing crossrank (compiles its C++ engine: half a minute or more) ..."
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp | system-tests
	@echo "Installing what the tests need, torch among it ..."
	$(PIP) --group test
	@touch $@

$(VENV)/scale.stamp: $(VENV)/test.stamp | system-scale
	$(PIP) --group scale
	@touch $@

.venv-%/made.txt: tests/sdks/%.txt scripts/sdk_env.sh | system
	@scripts/sdk_env.sh $* $(PYTHON)
	@touch $@

$(VENV)/docs.stamp: $(VENV)/run.stamp
	$(PIP) --group docs
	@touch $@

$(VENV)/recipe.stamp: $(VENV)/run.stamp
	$(PIP) --group recipe
	@touch $@

$(VENV)/package.stamp: $(VENV)/base.stamp pyproject.toml
	$(PIP) --group package
	@touch $@

$(VENV)/check.stamp: $(VENV)/run.stamp
	$(PIP) --group check
	@touch $@

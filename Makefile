# What a developer runs; each target installs what it needs first, and does so again only when the requirements change.

VENV := .venv
PY := $(VENV)/bin/python
FUNCTIONS_VENV := .venv-functions
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check bench bench-limits bench-cache bench-safety bench-telemetry schema clean functions-env

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-14s %s\n", $$1, $$2 }'

run: $(VENV)/run.stamp node_modules/.stamp ## the gateway with a demo backend and local storage, until Ctrl-C
	@$(PY) -m tests.support.local_run $(ARGS)

test: $(VENV)/dev.stamp node_modules/.stamp functions-env ## every test
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

check: $(VENV)/dev.stamp ## format, lint and types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

bench: $(VENV)/dev.stamp ## the gateway against bare forwarders (ARGS="--quick", ARGS="--write-readme")
	$(PY) -m tests.bench.gateway $(ARGS)

bench-limits: $(VENV)/dev.stamp node_modules/.stamp ## token limits across processes
	$(PY) -m tests.bench.limits $(ARGS)

bench-telemetry: $(VENV)/dev.stamp ## what telemetry costs: throughput, and memory while it cannot be sent
	$(PY) -m tests.bench.telemetry $(ARGS)

bench-safety: $(VENV)/dev.stamp ## what content safety adds to a call
	$(PY) -m tests.bench.safety $(ARGS)

bench-cache: $(VENV)/dev.stamp node_modules/.stamp ## the semantic cache: lookups, recall, transactions, cold start
	OPENBLAS_NUM_THREADS=1 $(PY) -m tests.bench.cache $(ARGS)

schema: $(VENV)/run.stamp ## the JSON Schema editors complete gateway.yaml with
	$(PY) -m shared schema > gateway.schema.json

clean: ## remove everything these targets made, local keys and data included
	rm -rf $(VENV) $(FUNCTIONS_VENV) node_modules .run .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@python=$$(sh tests/support/find-python.sh 3.11) || exit 1; \
	echo "$$python -m venv $(VENV)"; "$$python" -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(PY)
	$(PY) $(PIP_INSTALL) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt | $(PY)
	$(PY) $(PIP_INSTALL) -r requirements-dev.txt
	@touch $@ $(VENV)/run.stamp

node_modules/.stamp: package.json package-lock.json
	@sh tests/support/find-node.sh
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# The real Functions runtime needs Python 3.13: in CI it must be there, elsewhere its tests are skipped without it.
functions-env:
	@if sh tests/support/find-python.sh =3.13 >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory $(FUNCTIONS_VENV)/.stamp; \
	elif [ -n "$$CI" ]; then \
		sh tests/support/find-python.sh =3.13; \
	else \
		echo "Python 3.13 was not found: the tests on the Functions runtime will be skipped."; \
	fi

$(FUNCTIONS_VENV)/.stamp: requirements.txt tests/support/requirements-functions.txt
	@test -x $(FUNCTIONS_VENV)/bin/python || "$$(sh tests/support/find-python.sh =3.13)" -m venv $(FUNCTIONS_VENV)
	$(FUNCTIONS_VENV)/bin/python $(PIP_INSTALL) -r tests/support/requirements-functions.txt
	@touch $@

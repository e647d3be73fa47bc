# Everything a newcomer runs. Needs Python 3.11 or later and make; installs the rest into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help setup protos demo up test lint simulate chaos bench clean lock manifests

help: ## Show what each target does
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(STAMP) ## Make .venv with the locked dependencies and the generated protobuf code

$(STAMP): requirements.lock pyproject.toml hatch_build.py $(shell find protos -name '*.proto')
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "tgfleet needs Python 3.11 or later: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@mkdir -p .cache && touch $@

protos: setup ## Build gen/ again from protos/
	@$(BIN)/python hatch_build.py

demo: setup ## Start a fleet of sample accounts, show what it does, stop it
	@$(BIN)/python -m services.standalone.demo

up: setup ## Start the same fleet of sample accounts and keep it running
	@$(BIN)/python -m services.standalone --demo

test: setup lint ## Run every test: linters, unit, contract, simulation, integration, end to end
	@tests/support/fetch_etcd.sh
	$(BIN)/python -m pytest tests/unit tests/contract tests/simulation -n 2
	$(BIN)/python -m pytest tests/integration tests/e2e -n 3 --dist loadfile

lint: setup ## Check style, types, the direction of imports and the protobuf contract
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache >.cache/lint-imports.log 2>&1 || (cat .cache/lint-imports.log; exit 1)
	$(BIN)/buf lint

simulate: setup ## Run SEEDS seeded histories in virtual time from SEED on (default 5000, 1)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),5000) --first $(or $(SEED),1) --jobs 2

chaos: setup ## Run HISTORIES random histories of faults of each KIND (fleet, transfers) from SEED on (default 10, 1)
	@tests/support/fetch_etcd.sh
	$(BIN)/python -m tests.chaos --histories $(or $(HISTORIES),10) --seed $(or $(SEED),1) --kind $(or $(KIND),both)

bench: setup ## Make the figures that the README quotes, each beside its bare baseline
	@tests/support/fetch_etcd.sh
	$(BIN)/python -m benchmarks.rpc_call
	$(BIN)/python -m benchmarks.session_acquire
	$(BIN)/python -m benchmarks.checkpoint
	$(BIN)/python -m benchmarks.encryption
	$(BIN)/python -m benchmarks.start_all
	$(BIN)/python -m benchmarks.worker_crash --sessions 100
	$(BIN)/python -m benchmarks.worker_crash --sessions 1000 --rounds 1
	$(BIN)/python -m benchmarks.detection
	$(BIN)/python -m benchmarks.outage
	$(BIN)/python -m benchmarks.clients
	$(BIN)/python -m benchmarks.transfer
	$(BIN)/python -m benchmarks.progress
	$(BIN)/python -m benchmarks.next_account
	$(BIN)/python -m benchmarks.prediction

lock: ## Resolve pyproject.toml again into requirements.lock (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url \
	    --no-header --python-version 3.11 --upgrade -o requirements.lock -q
	uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url \
	    --no-header --python-version 3.11 -c requirements.lock -o requirements-runtime.lock -q

manifests: setup ## Render deploy/k8s into deploy/k8s/rendered (needs kubectl)
	@$(BIN)/python -m tests.support.manifests

clean: ## Remove everything that was built or installed
	rm -rf $(VENV) gen .cache

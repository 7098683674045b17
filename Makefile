# One entry point: make up | down | reset | test | lint | bench | images. Each target says what it does.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
RERUNS ?= 2
PYTEST := $(BIN)/python -m pytest
# Compiled modules are kept beside the sources: every component is a process of its own, and compiling takes it a second.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help up down reset images lint format test test-pure test-real test-vm test-kills bench clean lock

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

up: .make/run ## Start a cluster on this machine (real pods with root, simulated nodes without)
	@tools/host-tools node
	@$(BIN)/steersman up $(ARGS)

down: .make/run ## Stop the cluster; its objects stay
	@$(BIN)/steersman down

reset: .make/run ## Stop the cluster and remove everything it made
	@$(BIN)/steersman reset --yes

images: .make/run ## Build the example images from Debian's busybox-static, into build/images
	@tools/host-tools test
	@echo "images: building into build/images"
	@$(BIN)/python examples/images/build.py build/images

lint: .make/dev ## Format check, lint, types, import contracts
	@echo "lint: ruff format, ruff check, mypy --strict, import-linter"
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: .make/dev ## Format the code
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

test: test-pure test-real ## All tests: pure, in-process, real

test-pure: .make/dev ## Tests that need no root and start no cluster
	@echo "test: pure and in-process"
	@tools/host-tools test
	@$(PYTEST) -q -rR --reruns $(RERUNS) -m "not real"

test-real: .make/dev ## Tests that bring up real nodes and pods on this machine (root)
	@tools/host-tools node test
	@tools/debian-kubectl .make/kubectl-1.20
	@echo "test: real"
	@$(PYTEST) -q -rR --reruns $(RERUNS) -m real

test-vm: .make/dev ## Real tests on cgroup v2, with swap and AppArmor, in a virtual machine (root; TESTS="..." for others)
	@tools/host-tools vm
	@$(BIN)/python -m tests.vm $(TESTS)

test-kills: .make/dev ## Kill kubelet and containerd a hundred times under thirty pods (root, ten minutes)
	@tools/host-tools node test
	@echo "test: kubelet and containerd killed 100 times"
	@STEERSMAN_KILL_WHAT=kubelet,containerd,both STEERSMAN_KILLS=$(or $(KILLS),100) $(PYTEST) -q -s tests/kubelet/real/test_kills.py

bench: .make/dev ## Measure against the budgets of docs/architecture.md; writes bench/results.json
	@$(BIN)/python -m bench

bench-%: .make/dev ## One group of measurements, e.g. bench-api
	@$(BIN)/python -m bench $*

lock: ## Resolve the dependencies anew into requirements/
	@echo "lock: resolving pyproject.toml"
	@$(PYTHON) -m venv .make/uv && .make/uv/bin/pip install -q uv
	@for set in run dev; do \
	  .make/uv/bin/uv pip compile -q --upgrade --python-version 3.11 --universal --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url pyproject.toml $$( [ $$set = dev ] && echo --group dev ) -o requirements/$$set.lock; done

clean: ## Remove what the other targets made here (not the cluster: that is `make reset`)
	rm -rf $(VENV) .make build .mypy_cache .ruff_cache .pytest_cache .hypothesis src/steersman/schema/_built

.make/run: requirements/run.lock pyproject.toml hatch_build.py | $(VENV)
	@echo "install: locked dependencies and the package into $(VENV)"
	@$(BIN)/pip install -q --require-hashes -r requirements/run.lock
	@$(BIN)/pip install -q --no-deps -e .
	@mkdir -p .make && touch $@

.make/dev: requirements/dev.lock .make/run | $(VENV)
	@echo "install: development dependencies into $(VENV)"
	@$(BIN)/pip install -q --require-hashes -r requirements/dev.lock
	@mkdir -p .make && touch $@

$(VENV):
	@$(PYTHON) -m venv --help >/dev/null 2>&1 || { echo "install: python3-venv"; apt-get install -y -qq python3-venv >/dev/null; }
	@$(PYTHON) -m venv $(VENV)

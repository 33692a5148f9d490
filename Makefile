# What each target needs, it sets up: uv, Python packages, Debian packages, Go and the test cluster's programs.
# All of that is kept outside the tree, in $(FETTLE_CACHE) and in uv's own cache, so a second checkout is fast.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export FETTLE_CACHE ?= $(HOME)/.cache/fettle
# Last in the path: the uv that was installed here, for a machine that has none.
export PATH := $(PATH):$(FETTLE_CACHE)/uv/bin
export PYTHONUNBUFFERED := 1
export PYTHONDONTWRITEBYTECODE :=
# Training and tests share two cores with each other: waiting threads must not spin.
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false
export HF_HUB_OFFLINE ?= 1
verify unit test test-all lanes verify-documents: export GOMP_SPINCOUNT := 0

UV := $(shell command -v uv || echo $(FETTLE_CACHE)/uv/bin/uv)
PYTHON := .venv/bin/python
RUN := .venv/bin
DEMO_HOME := $(FETTLE_CACHE)/demo-home
BYTECODE := $(FETTLE_CACHE)/bytecode/$(shell sha256sum uv.lock | cut -c1-12)
SAY = @printf '\033[1m==> %s\033[0m\n'

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# -- setting up ------------------------------------------------------------------------------------------------

$(FETTLE_CACHE)/uv/bin/uv:
	$(SAY) "uv is missing: installing it from PyPI into $(FETTLE_CACHE)/uv"
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -q && apt-get install -qy python3 python3-venv ca-certificates; }
	@python3 -m venv $(FETTLE_CACHE)/uv
	@$(FETTLE_CACHE)/uv/bin/python -m pip install --quiet uv

.venv/installed: pyproject.toml uv.lock | $(if $(filter /%,$(UV)),$(UV))
	$(SAY) "installing the locked Python packages (about 5 GB the first time: PyPI's torch)"
	@$(UV) sync --frozen --quiet
	@$(MAKE) --no-print-directory bytecode
	@touch $@

# uv hard-links packages from its cache, so their compiled code can be linked from ours: without it, each process that
# imports torch compiles for ten seconds. Valid for as long as the sources' times are, which the links keep.
.PHONY: bytecode
bytecode:
	@packages=$$(cd .venv/lib/python3*/site-packages && pwd); \
	if [ ! -d $(BYTECODE) ]; then \
	  printf '    compiling them (once for each uv.lock)\n'; \
	  $(PYTHON) -m compileall -q -j 0 $$packages >/dev/null || true; \
	  staging=$$(mktemp -d -p $$(mkdir -p $(dir $(BYTECODE)) && echo $(dir $(BYTECODE)))); \
	  (cd $$packages && find . -name __pycache__ -prune -print0 | xargs -0 cp -rl --parents -t $$staging) && \
	  { mv -T $$staging $(BYTECODE) 2>/dev/null || rm -rf $$staging; }; \
	fi; \
	cp -rln $(BYTECODE)/. $$packages/ 2>/dev/null || cp -rn $(BYTECODE)/. $$packages/

.PHONY: install
install: .venv/installed ## install the Python packages into .venv

.PHONY: machine
machine: .venv/installed
	@$(PYTHON) -m tests.cluster install || echo "Debian packages could not be installed: tests that need a node are left out"
	@$(PYTHON) -m tests.cluster build || echo "the test cluster could not be built: tests that need it are left out"

.PHONY: kueue
kueue: .venv/installed
	@$(PYTHON) -m tests.cluster build --kueue || echo "Kueue could not be built: its tests fail"

# -- trying it -------------------------------------------------------------------------------------------------

.PHONY: demo
demo: .venv/installed ## fetch a small model, fine-tune it here, and show what it learned
	@rm -rf $(DEMO_HOME)
	@FETTLE_HOME=$(DEMO_HOME) $(RUN)/fettle demo

# -- checking it -----------------------------------------------------------------------------------------------

.PHONY: format
format: .venv/installed ## format the code
	@$(RUN)/ruff format --quiet .
	@$(RUN)/ruff check --quiet --fix .

.PHONY: generate
generate: .venv/installed ## write the CRDs and reference tables from the schema
	@$(PYTHON) -m fettle_schema.generate
	@$(PYTHON) charts/readme.py

.PHONY: verify
verify: static unit ## format, lint, types, import contracts, generated files, unit tests

.PHONY: static
static: .venv/installed
	$(SAY) "format and lint"
	@$(RUN)/ruff format --check .
	@$(RUN)/ruff check .
	$(SAY) "types"
	@$(RUN)/mypy --cache-dir $(FETTLE_CACHE)/mypy
	$(SAY) "import contracts"
	@$(RUN)/lint-imports
	$(SAY) "generated files"
	@$(PYTHON) -m fettle_schema.generate --check
	@$(PYTHON) charts/readme.py --check

.PHONY: unit
unit: .venv/installed
	$(SAY) "unit tests"
	@$(PYTHON) -m pytest -q tests -n 3 -m 'not trainer and not cluster and not node and not slow' $(addprefix --ignore=tests/,trainer e2e integration) $(SUMMARY)

.PHONY: test
test: static machine ## all tests but the slow ones, on a real API server and a real kubelet
	@$(MAKE) --no-print-directory lanes WHICH='and not slow'

.PHONY: test-all
test-all: static machine kueue ## test, and what takes longer; writes docs/test-all.md
	@printf '# The last run of `make test-all`\n' > docs/test-all.md
	@$(MAKE) --no-print-directory lanes WHICH= SUMMARY='--summary docs/test-all.md'

# Tests of a cluster mostly wait, all others compute: side by side they take two thirds of the time. What a lane cannot
# run it does not collect either: that alone would import torch in each of its processes.
.PHONY: lanes
lanes:
	$(SAY) "unit tests, then real trainings, and beside them a real API server and a real kubelet"
	@log=$$(mktemp); status=0; \
	$(PYTHON) -m pytest -q tests -m '(cluster or node) $(WHICH)' --ignore=tests/trainer $(SUMMARY) >$$log 2>&1 & lane=$$!; \
	trap "kill $$lane 2>/dev/null || true" EXIT; \
	$(MAKE) --no-print-directory unit || status=$$?; \
	$(PYTHON) -m pytest -q -n 2 --dist loadfile tests -m '(trainer or slow) and not cluster and not node $(WHICH)' $(addprefix --ignore=tests/,e2e integration) $(SUMMARY) || status=$$?; \
	wait $$lane || status=$$?; cat $$log; rm -f $$log; exit $$status

.PHONY: verify-documents
verify-documents: .venv/installed ## run every sample of the dialects' published documents: DOCUMENTS=folder
	@[ -n "$(DOCUMENTS)" ] || { echo "say where the documents are: make verify-documents DOCUMENTS=FOLDER (ainode.md, cluster.md, merlina.md, milady.md, qlora.md)"; exit 2; }
	@$(PYTHON) -m tests.documents "$(DOCUMENTS)"

# -- the test cluster and the images ---------------------------------------------------------------------------

.PHONY: cluster-up
cluster-up: machine ## start a Kubernetes with a node; prints the kubeconfig to use
	@$(PYTHON) -m tests.cluster up --node

.PHONY: cluster-down
cluster-down: .venv/installed ## end it and leave nothing behind
	@$(PYTHON) -m tests.cluster down

.PHONY: images
images: machine ## build the operator, facade and trainer images
	@$(PYTHON) images/build.py all

# -- installing it without Helm ---------------------------------------------------------------------------------

NAMESPACE ?= fettle
VALUES ?=
MANIFESTS ?= fettle.yaml

.PHONY: manifests
manifests: .venv/installed ## write fettle.yaml for kubectl apply: NAMESPACE=fettle VALUES=values.yaml
	@helm=$$(command -v helm || $(PYTHON) -c 'from tests.cluster.build import build_helm; print(build_helm())'); \
	staging=$$(mktemp); trap 'rm -f $$staging' EXIT; \
	$$helm template fettle charts/fettle --namespace "$(NAMESPACE)" --no-hooks --kube-version 1.32.0 $(if $(VALUES),--values "$(VALUES)") \
	  --set api.apiKey.existingSecret=fettle-api-key,api.webhooks.existingSecret=fettle-webhook-key >$$staging; \
	cp $$staging "$(MANIFESTS)"; \
	printf 'wrote %s; docs/install.md says which Secrets it needs, and how it is applied\n' "$(MANIFESTS)"

# -- measuring it ----------------------------------------------------------------------------------------------

.PHONY: bench-start
bench-start: .venv/installed ## time to the first optimizer step: fettle run, the trainer by hand, bare TRL
	@$(PYTHON) -m tests.bench.start

.PHONY: bench-trainer
bench-trainer: .venv/installed ## tokens/s and memory of the trainer, bare TRL and a hand-written loop (half an hour)
	@$(PYTHON) -m tests.bench.trainer

.PHONY: bench-memory
bench-memory: .venv/installed ## estimated memory against resident memory, on eight small trainings
	@$(PYTHON) -m tests.bench.memory

.PHONY: bench-facade
bench-facade: machine ## the facade over a real API server with 10,000 jobs: latency, sockets, memory (8 minutes)
	@$(PYTHON) -m tests.bench.facade

.PHONY: bench-operator
bench-operator: machine ## the operator beside Kubeflow Trainer, and with 10,000 jobs: starts, writes, reports, idle (half an hour)
	@$(PYTHON) -m tests.bench.operator_goals

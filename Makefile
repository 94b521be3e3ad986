# Every target says what it does; `make` lists them. What is built once lies in ~/.cache/shardwright (XDG_CACHE_HOME).
SHELL := /bin/bash
.DEFAULT_GOAL := help
RUN := .venv/bin
PYTEST := $(RUN)/pytest -q
DEMO := shardwright-demo

.PHONY: help setup demo demo-down test test-unit test-control-plane vllm-contract e2e e2e-vllm-short e2e-vllm lint bench crd golden vllm-verdicts clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Everything that demo and test need, from an empty Debian machine (first time about 15 minutes, then seconds)
	@e2e/cluster/setup.sh vllm

demo: ## A kind cluster with pretended GPU nodes, the operator by Helm, three deployments that answer
	@e2e/cluster/setup.sh kind
	@e2e/demo.sh $(DEMO)

demo-down: ## Take the demo away
	@e2e/cluster/kind-down.sh $(DEMO)

test: setup lint test-unit test-control-plane vllm-contract e2e e2e-vllm-short ## Lint, all three rings of tests and the real vLLM, set-up included

test-unit: ## Ring 1: pure tests and properties, seconds
	@e2e/cluster/setup.sh python
	$(PYTEST) -m "not control_plane and not kind and not vllm" tests

test-control-plane: ## Ring 2: a real control plane with simulated nodes, the operator as a process
	@e2e/cluster/setup.sh control-plane
	$(PYTEST) -m control_plane tests

vllm-contract: ## The real vLLM judges every command line that we render, and the fake engine's verdicts
	@e2e/cluster/setup.sh vllm-only
	$(PYTEST) -m "vllm and not kind" tests

e2e: ## Ring 3: kind with real kubelets and images, installed by Helm
	@e2e/cluster/setup.sh kind
	$(PYTEST) -m "kind and not vllm" e2e

e2e-vllm-short: ## Ring 3 with the real vLLM on CPUs: TP=2 over two nodes answers, and holds the KV tokens that were forecast
	@e2e/cluster/setup.sh vllm
	$(PYTEST) -m "kind and vllm" -k tp2-two-pods e2e

e2e-vllm: ## The same in all four layouts, and a group with hybrid balancing without a cluster
	@e2e/cluster/setup.sh vllm
	$(PYTEST) -m "kind and vllm" e2e

lint: ## ruff, mypy and the one-way imports
	@e2e/cluster/setup.sh python
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

bench: ## How fast plans are made, and 1, 10, 100 and 500 deployments beside a bare client (half an hour)
	@e2e/cluster/setup.sh control-plane
	$(RUN)/python bench/plan_speed.py
	$(RUN)/python bench/score_memory.py
	$(RUN)/python bench/reconcile_rate.py

crd: ## Write the CustomResourceDefinition from the models
	@e2e/cluster/setup.sh python
	$(RUN)/python -m shardwright crd > crds/inferencedeployments.shardwright.io.yaml
	cp crds/inferencedeployments.shardwright.io.yaml charts/shardwright/crds/
	$(RUN)/python -m shardwright crd --output reference > docs/reference.md

golden: ## Write the golden manifests and plans anew; review the difference
	@e2e/cluster/setup.sh python
	PYTHONPATH=operator:tests:images/fake-engine $(RUN)/python -m golden.rewrite
	PYTHONPATH=operator:tests $(RUN)/python -m golden.rewrite_plans

vllm-verdicts: ## Ask the real vLLM again for its options and its verdicts (the fake engine must agree with them)
	VLLM=$$(e2e/vllm/install.sh) && cd images/fake-engine && VLLM_TARGET_DEVICE=cpu VLLM_LOGGING_LEVEL=ERROR $$VLLM/bin/python export_vllm_options.py \
	  --table fake_engine/data/vllm-0.32.0.json --cases ../../tests/unit/fake_engine/vllm_cases.txt \
	  --models ../../tests/unit/fake_engine/models --verdicts ../../tests/unit/fake_engine/vllm_verdicts.json

clean: demo-down ## Remove the demo and what tools left in this folder; the cache stays
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# Every target sets up what it needs: a Python in range, .venv, the locked packages, the project itself.
# A repeat finds the stamp up to date and costs nothing. `make PYTHON=/path/to/python3.13` chooses the Python,
# `make demo ARGS="--json"` passes arguments on.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Without bytecode every process would compile MLflow and Great Expectations again, for seconds.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH

PYTHON ?=
ARGS ?=
TARGET ?=
WORKERS ?= 2
IMAGES ?=
ENGINE ?=
BASE_IMAGE ?=
TAG ?=
PREFIX ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ROOMS := core components pipelines serving console
IN_RANGE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# The images' locks: requirements.lock's versions, of these extras alone.
IMAGE_LOCKS := components serving estimators console
IMAGE_TOOLS := pip hatchling setuptools cyclonedx-bom
LOCK_components := components encoders scale energy s3
LOCK_serving := serving tracing s3
LOCK_estimators := serving estimators encoders tracing s3
LOCK_console := console encoders energy postgresql tracing s3

COMPILE := uv pip compile --quiet --universal --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
define lock-image
$(BIN)/$(COMPILE) pyproject.toml --output-file infra/images/locks/$(1).lock \
		--python-version 3.13 --constraints requirements.lock $(addprefix --extra ,$(LOCK_$(1)))

endef

# What is too large for everyone. On Linux the index has PyTorch for CUDA only, with gigabytes of its libraries;
# the CPU build is taken where pip finds it (in a folder that its configuration names), and nothing elsewhere.
OPTIONAL := $(VENV)/.optional
TORCH := torch==2.13.0
TORCH_CPU := sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b
LINUX := sys_platform == 'linux' and platform_machine == 'x86_64'
ELSEWHERE := sys_platform != 'linux' or platform_machine != 'x86_64'
CUDA := cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cudnn-cu13 nvidia-cusparselt-cu13 \
	nvidia-nccl-cu13 nvidia-nvshmem-cu13 triton

.PHONY: help setup demo test coverage check check-format check-lint check-types check-imports bench bench-serving screenshots charts lock images image-base cluster cluster-down clean

help: ## Show the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: $(STAMP) ## Make .venv with the locked packages and the project

demo: $(STAMP) ## Run the whole loop on real data
	$(BIN)/pilotage demo $(ARGS)

# Files in the order of `testpaths`, long ones first, so that none ends alone.
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test: $(STAMP) $(OPTIONAL) ## Run the unit and integration tests
	$(PYTEST) $(ARGS)

# Apart, for it takes nearly twice the time: below Python 3.12 all code runs half as fast while it is measured.
coverage: $(STAMP) $(OPTIONAL) ## Run them with branch coverage, which has to be 90 % and more
	@rm -f .coverage .coverage.*
	$(PYTEST) --cov --cov-report= --cov-report=term:skip-covered $(ARGS)

check: check-format check-lint check-types check-imports ## Check format, lint, types and who imports whom

check-format: $(STAMP)
	$(BIN)/ruff format --check .

check-lint: $(STAMP)
	$(BIN)/ruff check .

check-types: $(STAMP)
	$(BIN)/mypy
	for pilot in pilots/*/; do MYPYPATH="$$pilot" $(BIN)/mypy "$$pilot"; done

check-imports: $(STAMP)
	$(BIN)/lint-imports

bench: $(STAMP) ## Run the benchmarks and print what they measure; TARGET=orchestration, serving or monitoring runs one
	$(BIN)/python -m pytest tests/benchmarks$(if $(TARGET),/$(or $(filter serving monitoring,$(TARGET)),test_$(TARGET).py)) \
		-q -s --timeout 1800 $(ARGS)

bench-serving: TARGET := serving
bench-serving: bench ## Run the model server against its peers (ARGS=--quick for a look in minutes)

screenshots: $(STAMP) ## Write pictures of the console's pages to docs/images (ARGS="--only run,runs")
	$(BIN)/python -m tests.screenshots $(ARGS)

charts: $(STAMP) ## Write what comes from the charts anew: values.yaml and README from the schemas, golden renderings
	REGENERATE=1 $(BIN)/python -m pytest -q -n0 tests/charts/test_charts.py $(ARGS)

lock: $(STAMP) ## Resolve pyproject.toml into requirements.lock and the images' locks again (ARGS=--upgrade for newer versions)
	$(BIN)/$(COMPILE) pyproject.toml --output-file requirements.lock --python-version 3.11 --extra dev $(ARGS)
	$(foreach lock,$(IMAGE_LOCKS),$(call lock-image,$(lock)))
	printf '%s\n' $(IMAGE_TOOLS) | $(BIN)/$(COMPILE) - --output-file infra/images/locks/tools.lock \
		--python-version 3.13 --constraints requirements.lock

	printf "%s ; sys_platform == 'never'\n" $(CUDA) >$(VENV)/no-cuda.txt
	echo '$(TORCH)' | $(BIN)/$(COMPILE) pyproject.toml --output-file optional.lock --python-version 3.11 \
		--extra deep --extra pii --constraints requirements.lock --constraints - --override $(VENV)/no-cuda.txt
	sed -i "s/^$(TORCH) /$(TORCH)+cpu ; $(LINUX) \\\\\n    --hash=$(TORCH_CPU)\n$(TORCH) ; $(ELSEWHERE) /" optional.lock

images: $(STAMP) ## Build the images (ENGINE=, BASE_IMAGE=, TAG=, PREFIX=; IMAGES="serving estimators" for some)
	$(BIN)/python infra/images/build.py $(IMAGES) $(if $(ENGINE),--engine $(ENGINE)) \
		$(if $(BASE_IMAGE),--base $(BASE_IMAGE)) $(if $(TAG),--tag $(TAG)) $(if $(PREFIX),--prefix $(PREFIX))

image-base: ## Make the images' base from Debian packages, for machines that cannot pull one
	infra/images/base.sh

cluster: ## Make a kind cluster in docker, with the images of `make images` and the platform in it
	infra/cluster/up.sh

cluster-down: ## Remove that cluster
	infra/cluster/down.sh

clean: ## Remove .venv and caches; .pilotage, where runs and models are, stays
	rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find $(ROOMS) pilots tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An editable install copies the examples, so they count as its sources.
$(STAMP): requirements.lock pyproject.toml $(wildcard pilots/*/*)
	@if ! $(BIN)/python -c '$(IN_RANGE)' 2>/dev/null || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		chosen=''; \
		for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
			if "$$candidate" -c '$(IN_RANGE)' 2>/dev/null; then chosen="$$candidate"; break; fi; \
		done; \
		if [ -z "$$chosen" ]; then \
			echo 'No Python from 3.11 to 3.13 that runs was found among: $(or $(PYTHON),python3 python3.13 python3.12 python3.11).' >&2; \
			echo 'Install one, or name one: make PYTHON=/path/to/python3.13' >&2; \
			exit 2; \
		fi; \
		echo "Making $(VENV) with $$("$$chosen" --version)"; \
		"$$chosen" -m venv --clear $(VENV); \
	fi
	@echo 'Installing the locked packages into $(VENV): minutes the first time, seconds later'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q $(ROOMS) || true
	@touch $@

# Tests of what is not there are skipped, and say so.
$(OPTIONAL): $(STAMP) optional.lock
	@echo 'Installing PyTorch and other optional packages into $(VENV): minutes the first time'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r optional.lock \
		&& $(BIN)/python -c 'import torch' \
		|| echo 'They cannot be had here: tests that need them will be skipped.' >&2
	@touch $@

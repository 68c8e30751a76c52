# hrd: make install, make run, make test. `make help` lists the rest.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# Two stamps of one environment: what runs, and what tests and trains as well.
RUNTIME := $(VENV)/.installed
DEVELOPMENT := $(VENV)/.installed-dev
LOCKS := pyproject.toml scripts/install.sh scripts/targets.sh $(wildcard constraints/*.txt)
SOURCE ?= auto
comma := ,
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install install-dev run test check lint format types quick clean check-tensorrt prove-tensorrt \
	test-docs test-service test-vm test-slow test-faults test-browser test-compare steady fuzz fuzz-media soak \
	wheel test-wheel test-install install-jetson test-matrix test-aarch64 test-docker lint-docker lock check-lock

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(RUNTIME)  ## make .venv with hrd and what it needs to run

install-dev: $(DEVELOPMENT)  ## the same with what tests and training need (TORCH= without training)

# scripts/install.sh says what it does, and names in one line what the system lacks.
$(RUNTIME): $(LOCKS)
	@scripts/install.sh $(VENV) runtime
	@touch $@

$(DEVELOPMENT): $(LOCKS)
	@scripts/install.sh $(VENV) development
	@touch $(RUNTIME) $@

run: $(RUNTIME)  ## start the daemon and show readings (SOURCE=/dev/video0, COUNT=3 stops after three)
	@scripts/run.sh $(BIN) "$(SOURCE)" "$(COUNT)" $(ARGS)

test: check  ## lint, format, types and all tests

check: lint types $(DEVELOPMENT)
	$(BIN)/python -m pytest -q

lint: $(DEVELOPMENT)  ## style, format and minimum Python version
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vermin --quiet --eval-annotations --backport typing --target=3.8- --violations --no-tips --exclude tomllib hrd
	$(BIN)/vermin --quiet --eval-annotations --target=3.6- --violations --no-tips hrd/engine/worker

types: $(DEVELOPMENT)  ## static types
	@if [ -x $(BIN)/mypy ]; then echo "$(BIN)/mypy" && $(BIN)/mypy; \
	else echo "types: skipped: they are checked with NumPy's of Python 3.11 or later, and $(VENV) has $$($(BIN)/python --version)"; fi

format: $(DEVELOPMENT)  ## rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check-tensorrt: $(DEVELOPMENT)  ## hold what the TensorRT worker uses against real wheels (1.1 GB of downloads)
	@$(BIN)/python scripts/check_tensorrt.py || [ $$? = 77 ]

prove-tensorrt: $(DEVELOPMENT)  ## on a machine with an NVIDIA GPU: build, run, compare, time, measure, kill
	@$(BIN)/python scripts/prove_tensorrt.py $(ARGS)

wheel: $(DEVELOPMENT)  ## dist/hrd-*.whl: hrd, its models, its unit, an example configuration
	$(BIN)/python -m pip wheel -q --no-deps --wheel-dir dist .
	@ls dist/hrd-*.whl

test-wheel: wheel  ## install the wheel in a clean environment and read 72 bpm from another directory
	scripts/test-wheel.sh

install-jetson:  ## make hrd a service of this Jetson (as root; ARGS=--dry-run shows the steps)
	scripts/install-jetson.sh $(ARGS)

test-install:  ## README's commands in a bare Debian 12 and with each Python: readings, time, disk (ARGS=debian-test)
	scripts/test-install.sh $(ARGS)

test-matrix:  ## make run COUNT=3 and make test under each Python, 3.8-3.13, the TensorRT worker under 3.6 (ARGS=3.8)
	scripts/test-matrix.sh $(ARGS)

test-aarch64: $(RUNTIME)  ## wheel, measure and daemon in an emulated arm64 root (Cortex-A57; root, qemu)
	scripts/test-aarch64.sh $(ARGS)

test-docker:  ## execute docker/Dockerfile.cpu's steps and run the image (root, buildah)
	scripts/test-docker.sh $(ARGS)

test-docs: $(DEVELOPMENT)  ## every command in README and docs/ that runs without special hardware, slow ones too
	scripts/test-docs.sh $(BIN)

test-service: $(DEVELOPMENT)  ## the services under a real systemd, in a container made for it (root, debootstrap)
	$(BIN)/python -m pytest -q -rs tests/long/service.py tests/long/web_service.py $(ARGS)

test-vm: $(DEVELOPMENT)  ## a machine with a kernel, a USB camera and boots of its own (root, QEMU; ARCH=arm64, ONLY=a,b)
	@mkdir -p build
	$(BIN)/python -m pip install -q -e '.[bluetooth]'
	ARCH=$(ARCH) $(BIN)/python -m pytest -q -rs --junitxml=build/vm-$(or $(ARCH),amd64).xml \
		$(if $(ONLY),-k "$(subst $(comma), or ,$(ONLY))") \
		$(addprefix tests/vm/,camera.py slow.py service.py bluetooth.py) $(ARGS)

test-slow: $(DEVELOPMENT)  ## the daemon with 100 to 2 per cent of a core (root, control groups)
	$(BIN)/python -m pytest -q -rs tests/long/slow.py $(ARGS)

test-faults: $(DEVELOPMENT)  ## every fault of docs/faults.md's table, injected into a running daemon
	$(BIN)/python -m pytest -q -rs tests/long/faults.py $(ARGS)

test-browser: $(DEVELOPMENT)  ## the page of hrd web in Chromium, axe's checks, fifty viewers (VIEWERS_S=10 for less)
	$(BIN)/python -m pip install -q -e '.[browser]' && $(BIN)/python -m pytest -q -s -rs tests/long/browser.py $(ARGS)

test-compare: $(DEVELOPMENT)  ## hrd compare live, beside an emulated oximeter and strap (SECONDS=60 for less)
	$(BIN)/python -m pytest -q -s -rs tests/long/compare_live.py $(ARGS)

steady: $(DEVELOPMENT)  ## processor time and memory of the daemon with a 640x480 camera of 30 fps
	$(BIN)/python -m tests.long.steady

fuzz: $(DEVELOPMENT)  ## nonsense for protocol and config, then fuzz-media (ARGS="COUNT SEED" for the first)
	$(BIN)/python -m tests.long.fuzz $(ARGS)
	$(BIN)/python -m tests.long.fuzz_media

fuzz-media: $(DEVELOPMENT)  ## ten thousand damaged films and 20 damaged streams (ARGS="COUNT SEED STREAMS")
	$(BIN)/python -m tests.long.fuzz_media $(ARGS)

soak: $(DEVELOPMENT)  ## eight simulated hours as fast as they go (SOAK_HOURS=1 for less)
	$(BIN)/python -m tests.long.soak

lint-docker:  ## hadolint on docker/, shellcheck on scripts/
	bin=$$(scripts/tools.sh) && $$bin/hadolint docker/Dockerfile.* && $$bin/shellcheck -x scripts/*.sh .ci/run

lock:  ## resolve constraints/ anew
	scripts/lock.sh

check-lock:  ## every pin has a wheel for its exact platform, and hrd resolves to the pinned sets
	scripts/lock.sh --check

clean:  ## remove everything that make has made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache

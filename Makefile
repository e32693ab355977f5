# Everything goes through these verbs; CI calls the same ones. Needs Python 3.11+, make and a C library.
PYTHON ?= python3
CONFIG ?=
HOST ?= 127.0.0.1
PORT ?= 8000
# Processes that run tests; each may hold a few models at once.
WORKERS ?= 2
BENCH ?= overhead batching media generation overload compute
# For `make loadtest`: a running service and the names of its models; LOADTEST takes any other options (see `--help`).
URL ?=
MODELS ?=
LOADTEST ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# What tests ask with that npm has: a JavaScript client, and axe-core, which looks at the playground.
JAVASCRIPT := tests/clients/javascript tests/playground/javascript
INSTALL := pip install --quiet --disable-pip-version-check
CLIENTS := .clients
PROMETHEUS := .prometheus
CHROMIUM := .chromium
ONNXRUNTIME := .onnxruntime
REDIS := .redis

.PHONY: install javascript clients prometheus chromium redis onnxruntime screenshots serve test test-long faults lint format k8s-render k8s-check image-check docs bench loadtest clean

install: $(INSTALLED)

# torch goes first and alone: its pin decides between the CPU build at hand and gigabytes of CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, not " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m $(INSTALL) --constraint constraints.txt torch
	$(BIN)/python -m $(INSTALL) --constraint constraints.txt --editable '.[dev]'
	touch $@

serve: install
	$(BIN)/automodel-serve up $(CONFIG) --host $(HOST) --port $(PORT)

# Without Node, or without npm's registry, the tests that need them are skipped.
javascript: $(JAVASCRIPT:=/node_modules)

%/node_modules: %/package-lock.json
	@! command -v npm >/dev/null || (cd $* && npm ci --silent && touch node_modules) || echo "$* is not installed"

# Clients that want older packages than ours, in an environment of their own, for their tests; skipped without it.
clients: $(CLIENTS)/.installed

$(CLIENTS)/.installed: tests/clients/frameworks/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m $(INSTALL) --no-deps --requirement $<
	touch $@

# ONNX Runtime, which the benchmark `compute` measures beside us, in an environment of its own; left out without it.
onnxruntime: $(ONNXRUNTIME)/.installed

$(ONNXRUNTIME)/.installed: loadtests/bench/compute/requirements.txt
	$(PYTHON) -m venv $(ONNXRUNTIME)
	$(ONNXRUNTIME)/bin/python -m $(INSTALL) --requirement $<
	touch $@

# Debian's own, unpacked here and not installed, for the tests that run every rule and dashboard; skipped without it.
prometheus: $(PROMETHEUS)/usr/bin/prometheus

$(PROMETHEUS)/usr/bin/prometheus:
	mkdir -p $(PROMETHEUS)
	cd $(PROMETHEUS) && (apt-get download prometheus || (apt-get update && apt-get download prometheus))
	cd $(PROMETHEUS) && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb

# Packages of Debian, with the libraries that this machine lacks, unpacked into a folder and not installed.
DOWNLOAD = apt-get install --download-only --yes --quiet --no-install-recommends -o Debug::NoLocking=1 \
	-o Dir::Cache::Archives=$(CURDIR)/$(1) $(2)
define UNPACK
	mkdir -p $(1)/partial
	$(DOWNLOAD) || (apt-get update && $(DOWNLOAD))
	cd $(1) && for package in *.deb; do dpkg-deb --extract $$package . && rm $$package || exit 1; done
endef

# Chromium, for the tests of the playground; skipped without it.
chromium: $(CHROMIUM)/usr/lib/chromium/chromium-headless-shell

$(CHROMIUM)/usr/lib/chromium/chromium-headless-shell:
	$(call UNPACK,$(CHROMIUM),chromium-headless-shell fonts-inter fonts-jetbrains-mono)

# Redis, which holds the head's state in the tests that take a cluster apart.
redis: $(REDIS)/usr/bin/redis-server

$(REDIS)/usr/bin/redis-server:
	$(call UNPACK,$(REDIS),redis-server)

# Changes a cluster of three nodes and takes it apart while it is asked; as root on Linux, some ten minutes.
faults: install redis
	$(BIN)/python -m pytest --capture=no tests/faults/taken_apart.py

# The pictures in docs/images of the playground, taken by its tests.
screenshots: install
	PLAYGROUND_IMAGES=docs/images $(BIN)/python -m pytest tests/playground/test_screenshots.py

# The embedded models are exported first: a test that loads one has the same backend, whichever comes first. Without
# their packages, the tests that need them are skipped.
test: install javascript
	-$(BIN)/automodel-serve build
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --no-loadscope-reorder

# The same with many more examples of every property, drawn anew each time; hours.
test-long: install javascript
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --no-loadscope-reorder --hypothesis-profile long --timeout 7200

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes the RayService of every overlay down anew, from its service.yaml, and dashboards and rules from the metrics.
k8s-render: install
	$(BIN)/automodel-serve render dashboards k8s/base/dashboards
	$(BIN)/automodel-serve render rules --kubernetes > k8s/base/prometheus-rule.yaml
	for overlay in k8s/overlays/*; do $(BIN)/automodel-serve render k8s $$overlay/service.yaml > $$overlay/rayservice.yaml || exit 1; done

# Overlays against the schemas of Kubernetes, KubeRay and Ray Serve; the front and the Dockerfile.
k8s-check: install
	$(BIN)/python -m pytest tests/k8s tests/serve/kubernetes

# Builds the image without Docker and starts it, as root on Debian with buildah and mmdebstrap; some ten minutes.
image-check:
	tests/k8s/image_check.sh

# The documentation as a site, in site/; `python3 -m http.server --directory site` shows it.
docs: install
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build

bench: install
	for name in $(BENCH); do $(BIN)/python -m loadtests.bench $$name || exit 1; done

# Runs a load test against the service at URL, or against a service with the embedded models; writes a report.
loadtest: install
	$(BIN)/python -m loadtests $(if $(URL),--url "$(URL)") $(if $(MODELS),--models "$(MODELS)") $(LOADTEST)

clean:
	rm -rf $(VENV) $(JAVASCRIPT:=/node_modules) $(PROMETHEUS) $(CHROMIUM) $(ONNXRUNTIME) .mypy_cache .pytest_cache .ruff_cache loadtests/results site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

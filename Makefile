# dicomnode: everything a developer runs. Needs Python 3.11 or newer and make; the peers
# of the tests (a real PACS, real modality tools, real validators) come by apt as root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := orthanc orthanc-dicomweb dcmtk dicom3tools pixelmed-apps postgresql strace faketime chromium \
  systemd prometheus lnav haproxy
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2

WHEELHOUSE ?= wheelhouse

.PHONY: help install demo test check bench faults docs peers lock sbom vulnerabilities \
  wheelhouse clean

help:
	@echo "make demo   install and run the whole chain on this machine"
	@echo "make test   install, fetch the peers when root, check and test"
	@echo "make check  lint, types and import rules only"
	@echo "make bench  side by side measurements"
	@echo "make faults kill, cut power, fill disks for hours; FULL= takes minutes"
	@echo "make docs   print the documents that are made from tables"
	@echo "make lock   resolve requirements*.txt anew"
	@echo "make sbom   write sbom.json, the parts of the program (CycloneDX)"
	@echo "make wheelhouse  every wheel of the lock and our own, for a machine without network"
	@echo "make vulnerabilities   ask whether one of them has a known vulnerability"

install: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --progress-bar off --require-hashes -r requirements.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --progress-bar off --require-hashes -r requirements-dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/dicomnode demo --out demo-output

test: peers check
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config import-contracts.toml

bench: $(VENV)/.installed-dev
	$(BIN)/python -m tests.bench

# FULL= (empty): short runs. HARNESS="power crash": only these.
FULL ?= --full
HARNESS ?=
faults: peers $(VENV)/.installed-dev
	$(BIN)/python -m tests.faults $(FULL) $(HARNESS)

# As root the peers are installed; otherwise their tests skip and say which is missing.
# policy-rc.d keeps Debian from starting their services: the tests start their own.
peers:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && ! dpkg -s $(PEERS) >/dev/null 2>&1; then sh tests/peers/install.sh $(PEERS); fi

docs: $(VENV)/.installed-dev
	$(BIN)/python -m tests.architecture.print_states > docs/states.md
	$(BIN)/dicomnode conformance --update docs/conformance.md

lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml requirements.in \
	  --extra postgres --extra s3 --extra dicomweb --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --quiet -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml requirements.in --extra dev --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --quiet -c requirements.txt -o requirements-dev.txt

sbom: $(VENV)/.installed-dev
	$(BIN)/python deploy/sbom.py sbom.json

vulnerabilities: $(VENV)/.installed-dev
	$(BIN)/python deploy/vulnerabilities.py

# Wheels for this machine's system, processor and Python; another one needs its own. Our
# own wheel is built with the tools of the wheelhouse, so nothing outside the lock is used.
wheelhouse: $(VENV)/bin/python
	rm -rf $(WHEELHOUSE) && mkdir -p $(WHEELHOUSE)
	$(PIP) download --quiet --progress-bar off --no-deps --only-binary :all: \
	  --require-hashes -r requirements.txt -d $(WHEELHOUSE)
	$(PIP) wheel --quiet --no-deps --no-index --find-links $(WHEELHOUSE) \
	  -w $(WHEELHOUSE) .
	$(BIN)/python deploy/wheelhouse.py $(WHEELHOUSE)

clean:
	rm -rf $(VENV) $(WHEELHOUSE) demo-output acceptance-output dist build

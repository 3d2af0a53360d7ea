PYTHON ?= python3
BIN = .venv/bin

.PHONY: install quickstart test lint bench clean

install: .venv/installed  ## .venv with the pinned, tested versions

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kmodels needs Python 3.11 or later; got " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

quickstart: install  ## trains on built-in data and shows the result
	$(BIN)/python train.py --flagfile=flags/quickstart.flags --output_dir=results/runs/quickstart --overwrite

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests run beside each other: a framework's threads in one of them would only wait for those in another, and one test
# more than there are cores computes while others wait for a disk or a process.
PYTEST = OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1))) --maxprocesses=5 --dist=worksteal

test: lint  ## the whole test suite, all backends: one process, one framework; what none does differently on one of them
	$(PYTEST) -m 'not backend'
	KERAS_BACKEND=torch $(PYTEST) -m backend
	KERAS_BACKEND=jax $(PYTEST) -m 'backend and not one_backend'
	KERAS_BACKEND=tensorflow $(PYTEST) -m 'backend and not one_backend'

bench: install  ## speed beside the peers, an hour with nothing else running: make bench DATA_DIR=SST2 CHECKPOINT=ENCODER
	@test -n "$(DATA_DIR)" -a -n "$(CHECKPOINT)" || { echo "usage: make bench DATA_DIR=FOLDER_OF_SST2 CHECKPOINT=FOLDER_OF_A_BERT_ENCODER" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,bench]'
	$(BIN)/python benchmarks/speed.py --data_dir=$(DATA_DIR) --checkpoint=$(CHECKPOINT)
	$(BIN)/python benchmarks/tables.py

clean:  ## everything that can be made again
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info results/runs

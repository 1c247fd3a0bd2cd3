# Every target does all of its own set-up: git, make and Python >= 3.11 are enough.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup book check test bench reproduce assignments pair lint requirements clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed  ## create .venv from the pinned requirements

.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed, $(PYTHON) is older: make PYTHON=python3.12 ..."; exit 2; }
	@echo "installing the pinned requirements into .venv (some minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

book: setup  ## run the notebooks on embedded data and build the book into _build/html; RUNS=FILE for other runs
	@$(BIN)/python tools/book.py $(RUNS)

check: lint  ## lint, pairing and the tests that need no training and no records
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore=tests/book -m "not slow and not prose" -n logical --maxprocesses 4 --dist loadfile

test: lint  ## lint, pairing, unit tests, executed notebooks, the book, the browser check
	@$(BIN)/python tools/browser.py
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore=tests/book -n logical --maxprocesses 4 --dist loadfile
	@$(BIN)/python tools/book.py
	@$(BIN)/python -m pytest tests/book

bench: setup  ## measure the trainer against bare PyTorch and PyOD, the neighbour search against scikit-learn and faiss
	@$(BIN)/python tools/bench.py

reproduce: setup  ## run the headline tables of all papers, full length, the most decisive first; HOURS=2 ends after two
	@$(BIN)/novelty sweep sweeps/full_length.yml $(if $(HOURS),--hours $(HOURS))

assignments: setup  ## build the course for nbgrader, with what students get, into _build/course
	@$(BIN)/python tools/assignments.py

pair: setup  ## write notebooks/*.ipynb from notebooks/*.py
	@$(BIN)/python tools/pair.py

lint: setup  ## check style, format, types and that the paired notebooks are in step
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python tools/pair.py --check

EXTRAS := run sweep book pretrained course test  # all but elpv, which is data
requirements: setup  ## pin anew what pyproject.toml asks for, keeping the other pins
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 $(EXTRAS:%=--extra %) pyproject.toml -o requirements.txt

clean:  ## remove everything that was built, but not .venv
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache

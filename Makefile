# The two commands of the README, each complete on a fresh clone: environment, install, work.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: train test docs lint mutants env clean

# The main job on embedded data; training proper stops after five minutes at the latest.
train: env
	$(BIN)/python -m tngexp.train model=gmm loss=msssim experiment=new_prior trainer.max_steps=600 trainer.max_time={minutes:5}

test: env docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto

# The documentation as a site, in site/; a link that leads nowhere is an error.
docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lint: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

# Which deliberate faults the tests miss; hours, see docs/explanation/mutation.md. MUTANTS="rate --sample 20"
mutants: env
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[mutation]"
	$(BIN)/python benchmarks/mutants.py run $(MUTANTS)
	$(BIN)/python benchmarks/mutants.py report

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("tngexp needs Python 3.11 or newer; set PYTHON=…") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache

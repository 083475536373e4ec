# Two commands on a fresh machine: make demo, make test. Each sets up its own virtual environment first.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-fast check format clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## The main job on this machine; CT=FOLDER takes real heads.
	$(BIN)/tomoray-coordinator demo $(if $(CT),--ct $(CT))

test: $(READY)  ## Every test, with the real processes.
	$(BIN)/pytest

test-fast: $(READY)  ## Without the real processes.
	$(BIN)/pytest -m "not processes"

check: $(READY)  ## Style and strict typing.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict docker
	$(BIN)/hadolint docker/*.Dockerfile

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache

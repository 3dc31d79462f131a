# make demo: set up and run the main job.  make test: set up and run the tests.  Both need nothing but Python and g++.
.PHONY: demo test lint setup organism clean

BUILT_FROM := setup.py pyproject.toml $(shell find csrc -type f)
BIN := .venv/bin

demo: .venv/.ready
	$(BIN)/ras-ext demo

test: .venv/.ready
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy ras_ext registry
	$(BIN)/clang-format --dry-run --Werror $$(find csrc -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')

setup: .venv/.ready

.venv/.ready: $(BUILT_FROM) scripts/setup.sh
	scripts/setup.sh

# Trains the built-in model anew (eleven minutes on two Xeon cores), calibrates it and writes its card.
organism: .venv/.ready
	$(BIN)/python -m ras_ext.organism.train
	$(BIN)/python -m ras_ext.organism.release

clean:
	rm -rf .venv build dist *.egg-info ras_ext/*.so ras-ext-demo

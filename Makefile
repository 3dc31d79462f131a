# make demo: set up and run the main job.  make test: set up and run the tests.  Both need nothing but Python and g++.
.PHONY: demo test test-legacy test-quantised lint setup organism cuda-build cuda-build-status gpu-check clean

BUILT_FROM := setup.py pyproject.toml $(shell find csrc -type f)
BIN := .venv/bin

demo: .venv/.ready
	$(BIN)/ras-ext demo

# In two processes of one thread each: much of a test's time is waiting for a process of its own.
test: .venv/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

# Two families are code of their checkpoints, for transformers 4.3x: an environment of its own (.venv-legacy) and their tests.
test-legacy:
	scripts/test_legacy.sh $(ARGS)

# lmms-eval with the guarded model in it: an environment of its own (.venv-lmms) and its tests.
.PHONY: test-lmms
test-lmms:
	scripts/test_lmms.sh $(ARGS)

# vLLM with the defence inside it: an environment of its own (.venv-vllm, 3.5 GB) and tests of real engines and servers.
.PHONY: test-vllm
test-vllm:
	scripts/test_vllm.sh $(ARGS)

# The studio in Debian's Chromium, and all behind its page: the extra and a driver for the browser come into .venv.
.PHONY: test-studio
test-studio: .venv/.ready
	scripts/test_studio.sh $(ARGS)

# Quantised weights: their packages lie beside the environment, since transformers would import one of them in every command.
test-quantised: .venv/.ready
	test -d .venv/quantisers || $(BIN)/python -m pip -q install --no-deps --target .venv/quantisers "torchao>=0.17" "bitsandbytes>=0.49"
	PYTHONPATH=.venv/quantisers RAS_EXT_REQUIRE_QUANTISERS=1 $(BIN)/python -m pytest tests/models/test_quantised.py tests/test_guard_loading.py $(ARGS)

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy ras_ext registry
	$(BIN)/clang-format --dry-run --Werror $$(find csrc tests -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')

setup: .venv/.ready

.venv/.ready: $(BUILT_FROM) scripts/setup.sh scripts/environment.sh
	scripts/setup.sh

# Trains the built-in model anew (eleven minutes on two Xeon cores), calibrates it and writes its card.
organism: .venv/.ready
	$(BIN)/python -m ras_ext.organism.train
	$(BIN)/python -m ras_ext.organism.release

# Builds, links and imports everything against the CUDA build of torch; needs nvcc, 12 GB of disk and no GPU.
cuda-build:
	scripts/cuda_build.sh

cuda-build-status:
	@$(or $(PYTHON),python3) scripts/cuda_build_record.py status

# All that needs a GPU, in one command; uses the Python it is given (PYTHON), installs nothing. DRY=1 goes as far as a CPU allows;
# ONLY="build,end to end" takes some of the steps.
gpu-check:
	$(or $(PYTHON),python3) scripts/gpu_check.py $(if $(ONLY),--only "$(ONLY)")

clean:
	rm -rf .venv .venv-legacy .venv-lmms .venv-vllm build dist *.egg-info ras_ext/*.so ras-ext-demo

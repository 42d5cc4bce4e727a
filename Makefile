# What each target does: `make help`. Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.installed
# Variables of the targets below, as they are typed: a value may hold spaces, quotes and dollars. `make help` prints what
# stands after #:, and in parentheses which targets read each.
#: DATA         folder of classes, CSV file or folder of one; built-in scenes without it (every experiment)
#: WEIGHTS      trained baseline, .keras or .h5 of Keras 2 or 3, SavedModel or .tflite; trained anew without it (every experiment)
#: WORKDIR      folder where everything goes; runs/<experiment> without it (every experiment)
#: SET          settings, separated by spaces: SET="recipe.0.sparsity=0.7 training.epochs=3" (every experiment)
#: SEED         seed of order, augmentation, calibration and initial weights; 0 without it (every experiment, fuzz)
#: CONTROLS     names of the controls that run beside the recipe, with commas; none, or all of them without it (demo, smoke, train, export)
#: BOARD        name or path of a board, whose pack is written in place of plain artifacts (export)
#: METHODS      some of sparsity,channels,rank,bits; all without it (sensitivity)
#: EXAMPLES     the most examples that score each part; 500 without it (sensitivity)
#: ONLY         names of kinds of layers, of families and methods, separated by spaces; all without it (survey, architectures)
#: CALIBRATION  folder of images in place of calibration images sampled from train (lint)
#: RUNS         folders of finished runs, separated by spaces; runs/* without it (compare, npu, results)
#: NPUS         Ethos-U configurations, with commas; ethos-u55-128 without it (npu)
#: CASES        damaged inputs for each reader; 10000 without it (fuzz)
#: CASE         the number of one damaged input, to see it fail again (fuzz)
#: READERS      some of the readers, the X of tests/fuzz/test_fuzz_X.py; all without it (fuzz)
#: SECTION      block of the results page that is written, such as perception (results)
VARIABLES = DATA WEIGHTS WORKDIR SET SEED CONTROLS METHODS EXAMPLES BOARD CALIBRATION RUNS NPUS CASES CASE READERS SECTION ONLY
SEED ?= 0
CONTROLS ?= all

GIVEN = $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
UNKNOWN := $(firstword $(filter-out $(VARIABLES) PYTHON VENV MAKE% -*-%,$(GIVEN)))
ifneq ($(UNKNOWN),)
$(error There is no variable $(UNKNOWN). $(shell $(PYTHON) -c 'import difflib, sys; name, *all = sys.argv[1:]; \
	near = difflib.get_close_matches(name.upper(), all, 1, 0.5); print(*[f"Did you mean {one}?" for one in near])' \
	'$(UNKNOWN)' $(VARIABLES)) There is: $(VARIABLES))
endif

quote = '$(subst ','\'',$(1))'
# $(call flag,NAME,name): --name=value where it has a value, or was given without one, which the program refuses.
flag = $(if $(or $(value $(1)),$(filter command,$(firstword $(origin $(1))))),--$(2)=$(call quote,$(value $(1))))
CHOICE = $(call flag,DATA,data) $(call flag,WEIGHTS,weights) $(call flag,WORKDIR,workdir) $(call flag,SEED,seed) \
	$(foreach setting,$(value SET),--set=$(call quote,$(setting)))
FLAGS = $(CHOICE) $(if $(filter-out all,$(value CONTROLS)),$(call flag,CONTROLS,controls))
FOLDERS = $(foreach one,$(or $(value RUNS),runs/*),$(foreach folder,$(or $(wildcard $(one)),$(one)),$(call quote,$(folder))))

# Two processes on one thread each; what pytest compiles of the tests is kept, which is a half of the time to the first test.
TESTED = PYTHONDONTWRITEBYTECODE= TF_NUM_INTRAOP_THREADS=1

.PHONY: help demo smoke setup test test-fast wheel look lint fuzz bench survey architectures compare npu results clean

help:  ## Print this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 22
	@echo "Variables, given as NAME=value, and in parentheses the targets that read it:"
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)
	@echo "Experiments: $(sort $(filter-out __init__,$(notdir $(basename $(wildcard experiments/*/*.py)))))"

setup: $(READY)  ## Make .venv with the tested versions

$(READY): setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[boards,dev]'
	touch $@

demo: $(READY)  ## The main job on built-in driving scenes: train, prune, quantise, convert, measure (5 to 15 minutes on 2 cores)
	$(BIN)/tfmo-drive run --experiment=demo $(FLAGS)

smoke: CONTROLS = none
smoke: $(READY)  ## The same on a tiny network, in under a minute: a first result
	$(BIN)/tfmo-drive run --experiment=smoke $(FLAGS)

train-%: $(READY)  ## Run an experiment: make train-pruned DATA=images WEIGHTS=baseline.h5 SET="recipe.0.sparsity=0.7"
	$(BIN)/tfmo-drive run --experiment=$(call quote,$*) $(FLAGS)

export-%: $(READY)  ## The experiment's artifacts alone, or a board's pack: make export-quantized BOARD=raspberry_pi_4
	$(BIN)/tfmo-drive $(if $(call flag,BOARD,board),pack,export) --experiment=$(call quote,$*) $(call flag,BOARD,board) $(FLAGS)

sensitivity-%: $(READY)  ## How far each layer can go: make sensitivity-pruned DATA=images WEIGHTS=baseline.h5 METHODS=rank
	$(BIN)/tfmo-drive sensitivity --experiment=$(call quote,$*) $(call flag,METHODS,methods) \
		$(call flag,EXAMPLES,examples) $(CHOICE)

ledger-%: $(READY)  ## Where the score goes, from Keras to every runtime: make ledger-quantized DATA=images WEIGHTS=baseline.h5
	$(BIN)/tfmo-drive ledger --experiment=$(call quote,$*) $(CHOICE)

lint-%: $(READY)  ## What would go wrong in int8, before training: make lint-post_training DATA=images WEIGHTS=baseline.h5
	$(BIN)/tfmo-drive lint --experiment=$(call quote,$*) $(call flag,CALIBRATION,calibration) $(CHOICE)

look: $(READY)  ## What data hold, which task reads them, and their truth drawn: make look DATA=path/to/data
	$(BIN)/tfmo-drive look $(CHOICE)

compare: $(READY)  ## A table and plot of all runs, for each data set: make compare [RUNS="runs/a runs/b"]
	$(BIN)/tfmo-drive compare $(FOLDERS)

npu: $(READY)  ## What an Ethos-U would make of int8 files: make npu RUNS="runs/quantized runs/channels_quantized" [NPUS=ethos-u85-512]
	$(BIN)/tfmo-drive npu $(FOLDERS) $(call flag,NPUS,accelerators)

test: $(READY)  ## All tests (about 13 minutes on 2 cores)
	$(TESTED) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(READY)  ## What one runs while typing: no test that trains, converts or starts whole commands
	$(TESTED) $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

wheel: $(READY)  ## Build the wheel, install it into an environment of its own, and run smoke from an empty folder
	rm -rf build $(VENV)/wheel && mkdir -p $(VENV)/wheel/empty
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(VENV)/wheel .
	$(PYTHON) -m venv $(VENV)/wheel/venv
	$(VENV)/wheel/venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		$(VENV)/wheel/*.whl
	cd $(VENV)/wheel/empty && ../venv/bin/tfmo-drive run --experiment=smoke

fuzz: $(READY)  ## Damaged files and texts for every reader, for hours: make fuzz [CASES=10000] [READERS="rows parquet"]
	FUZZ_CASES=$(or $(CASES),10000) FUZZ_SEED=$(SEED) FUZZ_CASE=$(CASE) TF_NUM_INTRAOP_THREADS=1 \
		$(BIN)/python -m pytest -q $(or $(READERS:%=tests/fuzz/test_fuzz_%.py),tests/fuzz)

bench: $(READY)  ## Speed ratios into runs/bench/bench.json (about 20 minutes)
	$(BIN)/python -m tests.bench

survey: $(READY)  ## Which layers go through float, int8 and QAT, into experiments/LAYERS.md: make survey [ONLY="Conv2D"] (6 minutes)
	$(BIN)/python -m tests.bench.survey $(ONLY)

architectures: $(READY)  ## What works on every family of keras.applications, as a page: make architectures [ONLY="VGG16 fold"]
	$(BIN)/python -m tests.bench.architectures $(ONLY)

results: $(READY)  ## Write measured results into this repository's pages: make results RUNS="runs/quantized" [SECTION=perception]
	$(BIN)/python -m tests.results $(FOLDERS) $(call flag,SECTION,section)

lint: $(READY)  ## Style and likely mistakes of this repository's code (a model's: lint-%)
	$(BIN)/ruff check --line-length 120 --select E,F,I,B,UP,N --ignore N812,N818 tfmo_drive experiments tests
	$(BIN)/ruff format --check --line-length 120 tfmo_drive experiments tests

clean:  ## Remove .venv (runs stay)
	rm -rf $(VENV)

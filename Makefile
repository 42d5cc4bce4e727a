# What each target does: `make help`. Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.installed
DATA ?=
WEIGHTS ?=
WORKDIR ?=
SET ?=
SEED ?= 0
CONTROLS ?= all
METHODS ?=
EXAMPLES ?=
BOARD ?=
CALIBRATION ?=
CHOICE = $(if $(DATA),--data='$(DATA)') $(if $(WEIGHTS),--weights='$(WEIGHTS)') \
	$(if $(WORKDIR),--workdir='$(WORKDIR)') --seed=$(SEED) $(foreach setting,$(SET),--set='$(setting)')
FLAGS = $(CHOICE) $(if $(filter-out all,$(CONTROLS)),--controls='$(CONTROLS)')

.PHONY: help demo setup test lint fuzz bench compare npu clean

help:  ## Print this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 22
	@echo "Experiments: $(patsubst experiments/%.py,%,$(wildcard experiments/*.py))"

setup: $(READY)  ## Make .venv with the tested versions

$(READY): setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[boards,dev]'
	touch $@

demo: $(READY)  ## The main job on built-in driving scenes: train, prune, quantise, convert, measure (10 to 15 minutes)
	$(BIN)/python -m tfmo_drive.run --experiment=demo $(FLAGS)

train-%: $(READY)  ## Run an experiment: make train-pruned DATA=images WEIGHTS=baseline.h5 SET="recipe.0.sparsity=0.7"
	$(BIN)/python -m tfmo_drive.run --experiment=$* $(FLAGS)

export-%: $(READY)  ## The experiment's artifacts alone, or a board's pack: make export-quantized BOARD=raspberry_pi_4
	$(BIN)/python -m tfmo_drive.run --experiment=$* --export $(if $(BOARD),--board='$(BOARD)') $(FLAGS)

sensitivity-%: $(READY)  ## How far each layer can go: make sensitivity-pruned DATA=images WEIGHTS=baseline.h5 METHODS=rank
	$(BIN)/python -m tfmo_drive.sensitivity --experiment=$* $(if $(METHODS),--methods='$(METHODS)') \
		$(if $(EXAMPLES),--examples='$(EXAMPLES)') $(CHOICE)

ledger-%: $(READY)  ## Where the score goes, from Keras to every runtime: make ledger-quantized DATA=images WEIGHTS=baseline.h5
	$(BIN)/python -m tfmo_drive.ledger --experiment=$* $(CHOICE)

lint-%: $(READY)  ## What would go wrong in int8, before training: make lint-post_training DATA=images WEIGHTS=baseline.h5
	$(BIN)/python -m tfmo_drive.lint --experiment=$* $(if $(CALIBRATION),--calibration='$(CALIBRATION)') $(CHOICE)

compare: $(READY)  ## One table and plot of all runs: make compare [RUNS="runs/a runs/b"]
	$(BIN)/python -m tfmo_drive.compare $(or $(RUNS),$(wildcard runs/*))

npu: $(READY)  ## What an Ethos-U would make of int8 files: make npu RUNS="runs/quantized runs/channels_quantized" [NPUS=ethos-u85-512]
	$(BIN)/python -m tfmo_drive.npu $(or $(RUNS),$(wildcard runs/*)) $(if $(NPUS),--accelerators='$(NPUS)')

test: $(READY)  ## All tests (under 15 minutes on 2 cores)
	TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fuzz: $(READY)  ## Damaged files and texts for every reader, for hours: make fuzz [CASES=10000] [READERS="rows parquet"]
	FUZZ_CASES=$(or $(CASES),10000) FUZZ_SEED=$(SEED) FUZZ_CASE=$(CASE) TF_NUM_INTRAOP_THREADS=1 \
		$(BIN)/python -m pytest -q $(or $(READERS:%=tests/fuzz/test_fuzz_%.py),tests/fuzz)

bench: $(READY)  ## Speed ratios into runs/bench/bench.json (about 20 minutes)
	$(BIN)/python -m tests.bench

lint: $(READY)  ## Style and likely mistakes
	$(BIN)/ruff check --line-length 120 --select E,F,I,B,UP,N --ignore N812,N818 tfmo_drive experiments tests
	$(BIN)/ruff format --check --line-length 120 tfmo_drive experiments tests

clean:  ## Remove .venv (runs stay)
	rm -rf $(VENV)

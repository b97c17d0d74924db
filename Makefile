# The whole interface of the project. `make demo` and `make test` work from a fresh clone.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo sandbox test check format crds bench bench-judge mutants conformance campaign campaign-real frozen clean

demo: $(STAMP)            ## the main job on the embedded sandbox
	$(BIN)/rollout demo $(ARGS)

sandbox: $(STAMP)         ## the embedded cluster alone
	$(BIN)/rollout sandbox $(ARGS)

test: check               ## everything but conformance, campaigns and benchmarks
	$(BIN)/python -m pytest -n 4 --dist loadgroup --no-loadscope-reorder -m "not real" $(ARGS)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder -m real $(ARGS)

check: $(STAMP)           ## format, lint, types, walls
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)          ## let ruff write the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

crds: $(STAMP)            ## generate crds/ from the models
	$(BIN)/rollout crds --write crds

bench: $(STAMP)           ## ratios, measured side by side
	$(BIN)/python -m benchmarks $(ARGS)

bench-judge: $(STAMP)     ## what the judge promises, held against ten targets; 25 minutes of one core, or ARGS=--quick
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.judge $(ARGS)

bench-git: $(STAMP)       ## fetch and read of a commit against git alone, and a naive pull
	$(BIN)/python -m benchmarks.pulls $(ARGS)

mutants: $(STAMP)         ## breaks promises on purpose, and shows the test that notices each
	$(BIN)/python tests/mutants/run_mutants.py $(ARGS)

conformance: $(STAMP)     ## the operator's stories on the cluster of KUBECONFIG or KUBEBUILDER_ASSETS
	$(BIN)/python -m conformance $(ARGS)

campaign: $(STAMP)        ## whole rollouts under seeded faults, in virtual time
	$(BIN)/python -m tests.campaign $(ARGS)

REAL := $(addprefix tests/e2e/test_,sigkill.py pods_gone.py foreign_hands.py taken_away.py)
campaign-real: $(STAMP)   ## thirty kills, minutes of foreign writes and more, with users on the shops
	ROLLOUT_CAMPAIGN=$(or $(JSON),build/campaign-real.json) $(BIN)/python -m pytest -m real $(REAL) $(ARGS)

frozen: $(STAMP)          ## leaders that are stopped in the middle of a turn, and go on
	$(BIN)/python tests/stories/frozen.py $(ARGS)

clean:
	rm -rf $(VENV) .sandbox build *.egg-info

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV) || { echo "venv is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[sandbox,test]"
	touch $(STAMP)

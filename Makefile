# Two commands on a fresh machine: make demo, make test. Each sets up its own virtual environment first.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Workers share the processor: each has one thread.
WORKERS ?= 2
TESTS = OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
BENCH_VENV ?= .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready
BENCH_BIN := $(if $(QUICK),$(BIN),$(BENCH_VENV)/bin)
# The second list asks for torchvision and triton, which the adapters never import: installed without dependencies.
PEERS := itk-rtk itk-twoprojectionregistration torchio roma jaxtyping platformdirs
PEERS_ALONE := diffdrr nanodrr flashdrr plastimatch

.PHONY: demo demo-xray test test-fast check fuzz bench-projection bench-cohort bench-quality bench-robustness bench-membership \
	bench-pose bench-step bench-synthesize bench-gpu format clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## The main job on this machine; CT=FOLDER takes real heads.
	$(BIN)/tomoray-coordinator demo $(if $(CT),--ct $(CT))

demo-xray: $(READY)  ## A network of DRRs and one of films at three hospitals with films, twice the demo's time.
	$(BIN)/tomoray-coordinator demo-xray

test: $(READY)  ## Every test, with the real processes.
	$(TESTS)

test-fast: $(READY)  ## Without the real processes.
	$(TESTS) -m "not processes"

check: $(READY)  ## Style and strict typing.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict docker
	$(BIN)/hadolint docker/*.Dockerfile

$(BENCH_READY): pyproject.toml constraints.txt constraints-bench.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-bench.txt -e '.[dev]' $(PEERS)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints-bench.txt --no-deps $(PEERS_ALONE)
	touch $(BENCH_READY)

# The quick forms do without the peers' environment and say which peers they leave out.
bench-projection: $(if $(QUICK),$(READY),$(BENCH_READY))  ## The projector beside its peers, half an hour, QUICK=1 a minute; CT=FOLDER adds pictures.
	$(BENCH_BIN)/python -m benchmarks.projection $(if $(CT),--ct $(CT)) $(if $(QUICK),--quick)

bench-cohort: $(if $(QUICK),$(READY),$(BENCH_READY))  ## Archive to cases beside pydicom, MONAI and SimpleITK, ten minutes, QUICK=1 one; CT=FOLDER adds a real head.
	$(BENCH_BIN)/python -m benchmarks.cohort $(if $(CT),--ct $(CT)) $(if $(QUICK),--quick)

fuzz: $(READY)  ## N=50000 mutated DICOM files, DRAWS=200 drawn heads with their faults, SECONDS= to stop each sooner; CT=FOLDER adds real bad inputs as seeds.
	$(BIN)/python -m tests.fuzz $(if $(N),--cases $(N)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(CT),--ct $(CT))
	$(BIN)/python -m tests.fuzz.draws $(if $(DRAWS),--draws $(DRAWS)) $(if $(SECONDS),--seconds $(SECONDS))

bench-quality: $(READY)  ## Networks and baselines on unseen real heads; BUDGET=seconds, SEEDS=count, QUICK=1, CT=FOLDER.
	$(BIN)/python -m benchmarks.quality --ct $(or $(CT),../shared/data/ct) $(if $(BUDGET),--budget $(BUDGET)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(QUICK),--quick)

bench-robustness: $(READY)  ## What errors of the radiographs cost, what a predicted SD is worth, three minutes; STUDY=FILE, WEIGHTS=FILE, QUICK=1.
	$(BIN)/python -m benchmarks.robustness $(if $(STUDY),--study $(STUDY)) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(QUICK),--quick)

bench-membership: $(READY)  ## Whether a network tells who was in its training, 40 minutes; QUICK=1 one.
	$(BIN)/python -m benchmarks.membership $(if $(QUICK),--quick)

bench-pose: $(READY)  ## Poses of virtual films of real heads against their CTs, a quarter of an hour; QUICK=1 two minutes, CT=FOLDER.
	$(BIN)/python -m benchmarks.pose --ct $(or $(CT),../shared/data/ct) $(if $(QUICK),--quick)

bench-step: $(READY)  ## Time and memory of a training step at 128 cubed beside X2CT's, ten minutes; QUICK=1 one turn.
	$(BIN)/python -m benchmarks.step $(if $(QUICK),--steps 3 --turns 1)

bench-synthesize: $(READY)  ## Two films to a synthetic CT of 128 cubed on two cores, with and without pose refinement, three minutes.
	$(BIN)/python -m benchmarks.synthesize

bench-gpu: $(BENCH_READY)  ## What needs a graphics card, half an hour; NAMES="step projector", HEADS=FOLDER of prepared heads.
	$(BENCH_VENV)/bin/python -m benchmarks.gpu $(NAMES) $(if $(HEADS),--heads $(HEADS))

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(BENCH_VENV) runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache

# Two commands do it all on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install -q -c constraints.txt $(PIP_ARGS)
SOURCES = pyproject.toml constraints.txt

.PHONY: run test test-fast check lint types site papers few-labels trust likelihood disentangling outliers missing fine-tuning schedules speed crowded time-spent readers peers growth faults fuzz explorer notebook vendor soak clean

run: .stamp-run  ## train on embedded real digits, and write a report
	$(BIN)/vaebench run digits --resume

test: .stamp-dev  ## all tests; real data sets too where VAEBENCH_DATA is set
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

FAST = tests/models tests/core tests/cli tests/plotting tests/data tests/training/test_muon.py tests/training/test_stopping.py \
	tests/evaluation/test_bounds.py tests/evaluation/test_calibration.py tests/evaluation/test_probes.py tests/evaluation/test_samples.py \
	tests/semi_supervised/test_label_propagation.py tests/test_architecture.py tests/test_terms.py tests/test_mutations.py

test-fast: .stamp-dev  ## unit tests, under two minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(FAST)

lint: .stamp-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .stamp-dev
	$(BIN)/mypy

site: .stamp-dev  ## the documentation as web pages, from docs/ and the docstrings; warnings are errors
	$(BIN)/python scripts/build_site.py
	@echo "open site/html/index.html"

check: lint types site test  ## what must be green before every commit

papers: .stamp-run  ## all five papers on two cores, at most 2 h 30 min; renews docs/results
	$(BIN)/vaebench reproduce all --budget cpu
	mkdir -p docs/results/papers
	cp runs/papers/papers.json runs/papers/papers-made.json runs/papers/papers.md docs/results/
	cp runs/papers/papers/*.png docs/results/papers/

few-labels: .stamp-run  ## the few-label benchmark on two cores, 5 h; renews docs/results
	$(BIN)/vaebench few-labels --budget cpu
	mkdir -p docs/results/few-labels
	cp runs/few-labels/few-labels.json runs/few-labels/few-labels-made.json runs/few-labels/few-labels.md docs/results/
	cp runs/few-labels/few-labels/*.png docs/results/few-labels/

trust: .stamp-run  ## reliability of classify, about an hour a data set (DATA=NAME: one of them); renews docs/results
	mkdir -p docs/results/trust
	set -e; for data in $(or $(DATA),digits quickdraw mnist fashion-mnist cifar10); do \
	  $(BIN)/python benchmarks/trust.py --data $$data --out runs/trust/$$data; \
	  cp runs/trust/$$data/$$data.json docs/results/trust/; \
	done
	$(BIN)/python benchmarks/trust_page.py

likelihood: .stamp-dev  ## log p(x) of binarised MNIST, an hour; renews docs/results
	$(BIN)/python benchmarks/likelihood.py
	mkdir -p docs/results/likelihood
	cp runs/likelihood/likelihood.json runs/likelihood/likelihood.md docs/results/
	cp runs/likelihood/likelihood/*.png docs/results/likelihood/

disentangling: .stamp-run  ## disentanglement scores of objectives, 115 minutes; renews docs/results
	$(BIN)/python benchmarks/disentangling.py
	mkdir -p docs/results/disentangling
	cp runs/disentangling/disentangling.json runs/disentangling/disentangling.md docs/results/
	cp runs/disentangling/disentangling/*.png docs/results/disentangling/

outliers: .stamp-run  ## detection of outliers by VAE scores, 55 minutes; renews docs/results
	$(BIN)/python benchmarks/outliers.py
	cp runs/outliers/outliers.json runs/outliers/outliers.md docs/results/

missing: .stamp-dev  ## a VAE of images with unknown pixels, 8 minutes; renews docs/results
	$(BIN)/python benchmarks/missing_pixels.py
	cp runs/missing_pixels/missing_pixels.json runs/missing_pixels/missing_pixels.md docs/results/

fine-tuning: .stamp-dev  ## from MNIST to Quick Draw in a fifth of the steps, 12 minutes; renews docs/results
	$(BIN)/python benchmarks/fine_tuning.py
	cp runs/fine_tuning/fine_tuning.json runs/fine_tuning/fine_tuning.md docs/results/

schedules: .stamp-dev  ## epochs that a VAE needs by optimiser, half an hour; renews docs/results
	$(BIN)/python benchmarks/schedules.py
	mkdir -p docs/results/schedules
	cp runs/schedules/schedules.json runs/schedules/schedules.md docs/results/
	cp runs/schedules/schedules/*.png docs/results/schedules/

speed: .stamp-run  ## speed compared with pythae, a plain loop and the papers' code, 70 minutes; renews docs/results
	$(BIN)/python benchmarks/speed.py
	mkdir -p docs/results/speed
	cp runs/speed/speed.json runs/speed/speed.md docs/results/
	cp runs/speed/speed/*.png docs/results/speed/

crowded: .stamp-run  ## commands beside other busy programs, an hour; renews docs/results
	$(BIN)/python benchmarks/crowded.py
	cp runs/crowded/crowded.json runs/crowded/crowded.md docs/results/

time-spent: .stamp-run  ## where the time of each command goes, half an hour; renews docs/results
	$(BIN)/python benchmarks/time_spent.py
	cp runs/time-spent/time_spent.json runs/time-spent/time_spent.md docs/results/

readers: .stamp-dev  ## what readers of images make of the same file, a minute; renews docs/results
	$(PIP) --target runs/readers/packages --upgrade --no-deps opencv-python-headless==5.0.0.93 imageio==2.38.1
	PYTHONPATH=runs/readers/packages $(BIN)/python benchmarks/readers.py
	cp runs/readers/readers.json runs/readers/readers.md docs/results/

peers: .stamp-run  ## what other VAE libraries compute, 20 minutes; TIMES=--times measures speed too; renews docs/results
	$(BIN)/python benchmarks/peers.py $(TIMES)
	cp runs/peers/peers.json runs/peers/peers.md docs/results/

growth: .stamp-run  ## time and memory by images, latents, sides, workers, 4 minutes; renews docs/results
	$(BIN)/python benchmarks/growth.py
	mkdir -p docs/results/growth
	cp runs/growth/growth.json runs/growth/growth.md docs/results/
	cp runs/growth/growth/*.png docs/results/growth/

faults: .stamp-run  ## fault injection: kill, starve and damage runs, about an hour; renews docs/reliability.md
	$(BIN)/python benchmarks/faults.py
	cp runs/faults/faults.json docs/results/
	cp runs/faults/reliability.md docs/

fuzz: .stamp-run  ## coverage-guided fuzzing of the file readers, 25 minutes; renews docs/results
	$(PIP) -e '.[onnx,fuzz]'
	$(BIN)/python benchmarks/fuzz.py
	cp runs/fuzz/fuzz.json runs/fuzz/fuzz.md docs/results/

explorer: .stamp-dev  ## size and speed of the explorer page; needs chromium; renews docs/results
	$(BIN)/python benchmarks/explorer.py
	cp runs/explorer/explorer.json runs/explorer/explorer.md docs/results/

notebook: .stamp-dev  ## run the notebook anew
	d=$$(mktemp -d) && cp docs/*.ipynb $$d && cd $$d && $(abspath $(BIN))/jupyter-execute --inplace *.ipynb \
		&& cp *.ipynb $(CURDIR)/docs/

vendor: .stamp-run  ## fetch the runtime of the explorer page anew
	$(BIN)/python scripts/vendor_runtime.py

soak: .stamp-dev  ## long campaigns: kills, formulas broken on purpose, fuzzing
	$(BIN)/python -m pytest -m soak --timeout 3600 tests/test_kill.py tests/test_mutations.py tests/papers tests/sweeps tests/training tests/classification
	VAEBENCH_FUZZ=soak $(BIN)/python -m pytest --timeout 3600 tests/data tests/test_recipes.py -k "garbled or garbage or cut_file"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

.stamp-run: $(BIN)/python $(SOURCES)
	$(PIP) -e '.[onnx]'
	@touch $@

.stamp-dev: .stamp-run
	$(PIP) -e '.[onnx,cluster,dev]'
	@touch $@

clean:
	rm -rf $(VENV) site .stamp-* .pytest_cache .mypy_cache .ruff_cache .hypothesis

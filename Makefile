# Everything a developer or a newcomer runs. `make demo` and `make test` set up what they need.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready
# Files in the order given: the slow ones first, so that both cores have work until the end.
BOTH_CORES = -n 2 --dist loadfile --no-loadscope-reorder
MINUTES ?= 10
SECONDS ?= 60
# Home Assistant's core needs a later Python than ours, and a venv of its own.
HOME_PYTHON ?= python3.13
HOME_VENV   ?= .venv-homeassistant

.PHONY: help demo test test-faults test-slow test-platform test-brokers bench-fleet test-browser test-homeassistant check format bench faults-table soak outages scenes healthy simulate put-back mutants evaluate fuzz docs deb release tools verify clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

tools: ## mosquitto, its clients and mbpoll, which the tests need
	@tests/install-tools

demo: $(READY) ## the whole chain, live in the terminal, without hardware (ARGS="--plain --seconds 30")
	@$(BIN)/airbridge demo $(ARGS)

test: $(READY) tools ## unit tests and the bridge with real processes, within 5 minutes
	$(BIN)/python -m pytest $(BOTH_CORES) tests/faults tests/bridge tests/simulation tests/unit -m "not slow" $(ARGS)

test-faults: $(READY) tools ## everything that can be broken, broken for real, within 15 minutes
	$(BIN)/python -m pytest $(BOTH_CORES) tests/faults $(ARGS)

test-slow: $(READY) tools ## what takes its time: odd meters, two meters at one address, a minute recorded and replayed
	$(BIN)/python -m pytest $(BOTH_CORES) tests/bridge -m slow $(ARGS)

test-platform: $(READY) tools ## Docker and systemd for real, on Debian as root, in 20 minutes
	$(BIN)/python -m tests.platform.compose
	$(BIN)/python -m pytest tests/platform $(ARGS)

test-brokers: $(READY) tools ## the chain on mosquitto 2.0 and 2.1, RabbitMQ, NATS, aedes, ejabberd; installs them; writes docs/brokers.md
	@tests/brokers/install $(BIN)/python
	$(BIN)/python -m pytest tests/brokers --brokers-page docs/brokers.md $(ARGS)

bench: $(READY) tools ## the bridge measured beside other servers, 18 minutes (ARGS=--quick: 3 minutes); needs gcc, libmodbus-dev
	@$(BIN)/python -m benchmarks $(ARGS)

bench-fleet: $(READY) tools ## a centre of three NATS nodes and 200 houses: cost, ends of nodes, 8 minutes (ARGS="--houses 50 --blocks")
	@tests/brokers/install $(BIN)/python
	@PYTHONPATH=.:shared $(BIN)/python -m benchmarks.fleet $(ARGS)

test-browser: $(READY) tools ## the dashboard's page in a headless Chromium (Debian's chromium and chromium-driver)
	$(BIN)/python -m pytest tests/browser $(ARGS)

$(HOME_VENV)/.ready: tests/homeassistant/requirements.txt
	$(HOME_PYTHON) -m venv $(HOME_VENV)
	$(HOME_VENV)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement $<
	@touch $@

test-homeassistant: $(HOME_VENV)/.ready ## discovery judged by Home Assistant's own schemas; installs its core (600 MB, some minutes, once)
	PYTHONPATH=.:shared $(HOME_VENV)/bin/python -m pytest tests/homeassistant $(ARGS)

faults-table: $(READY) tools ## docs/faults.md: every fault, what the inverter saw, how long it took
	$(BIN)/python -m pytest $(BOTH_CORES) tests/faults --faults-table docs/faults.md $(ARGS)

soak: $(READY) tools ## compressed days with faults at random, MINUTES=10 (SEED=1 repeats the same faults)
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

scenes: $(READY) tools ## seven scenes of faults without end, MINUTES=10 each (SEED=1 repeats them, ONLY="broker" takes some)
	@$(BIN)/python -m tests.scenes --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)")

outages: $(READY) tools ## an hour of faults: the time without data by the server's book and by the inverter's own log, MINUTES=60 (SEED=1)
	@$(BIN)/python -m tests.soak.outages --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

healthy: $(READY) tools ## houses in which nothing is wrong, by day and at night, MINUTES=10: the inverter reader reports no fault
	MINUTES=$(MINUTES) $(BIN)/python -m pytest -n 2 -rP tests/bridge/test_healthy_houses.py $(ARGS)

simulate: $(READY) ## a day of the whole chain in virtual time, with faults from the same 150 seeds each time (ARGS="--random --minutes 60" for others)
	@$(BIN)/python -m simulation --many --jobs 2 $(ARGS)

put-back: $(READY) ## faults that the services once had, put back one at a time: how soon the simulation finds each
	@$(BIN)/python -m simulation.put_back $(ARGS)

mutants: $(READY) ## 100 mutations of the cores, each simulated until it is found; survivors are listed (ARGS="--seed 2")
	@$(BIN)/python -m simulation.mutants $(ARGS)

evaluate: $(READY) ## docs/evaluation.md: what the bridge is worth in kWh, beside a cable and pollers, in some minutes
	@$(BIN)/python -m evaluation $(ARGS)

fuzz: $(READY) ## any bytes against codec, contract and settings, SECONDS=60 each; installs atheris
	@fuzz/run $(BIN)/python $(SECONDS)

verify: ## freshness as a model, searched exhaustively in 2 minutes (ARGS="--keep clock-kept"); installs spin and gcc as root
	@for tool in spin gcc; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing libc6-dev >/dev/null; fi
	@$(PYTHON) formal/verify $(ARGS)

check: $(READY) ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY) ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

deb: $(READY) ## a package for Debian 13 and later: dist/ksem-airbridge_*.deb
	deploy/packaging/build-deb $(BIN)/python dist

release: ## everything of a release, reproducibly, from the last commit: dist/release (REF=v0.1.0; MINISIGN_KEY signs)
	deploy/packaging/release dist/release --ref $(or $(REF),HEAD)

clean: ## remove what make made
	rm -rf $(VENV) $(HOME_VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The front door. `make demo` shows the system at work, `make test` proves it; `make help` lists the rest.
# On a machine with nothing but the language toolchain the missing system packages are installed (and named) first.

SHELL := /bin/bash
export CARGO_TARGET_DIR ?= $(HOME)/.cache/renku-graph/target
export CARGO_TERM_COLOR ?= auto
XTASK := $(CARGO_TARGET_DIR)/debug/xtask
# What is built. The demo needs the executables only; tests build everything at once, so that no library is built twice
# with other features.
SCOPE ?= -p renkud -p renkuctl -p gitlab-sim -p xtask

.DEFAULT_GOAL := help
.PHONY: help demo test lint format unit system docs bench soak idle packages build

help: ## List the targets
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

packages: ## Install the system packages that are missing (Debian), and say which
	@bash deploy/local/packages.sh

build: packages ## Build the executables
	cargo build --locked $(SCOPE)

demo: build ## Start everything, push the example repositories, show what the graph knows (BUS=kafka: on Apache Kafka; DEMO_EXIT=1: then stop)
	$(XTASK) demo $(if $(DEMO_EXIT),--exit) --bus $(or $(BUS),embedded)

test: SCOPE := --workspace --all-targets
test: lint unit docs ## Everything that must hold: format, lints, arrows, licences, all tests, generated documents
	@echo "all checks passed"

lint: build ## Format, clippy, arrows and owners of our crates, licences, topics, alerts, rules of the house
	cargo fmt --all -- --check
	$(XTASK) deps
	$(XTASK) deny
	$(XTASK) topics
	$(XTASK) alerts
	$(XTASK) house
	cargo clippy --locked --workspace --all-targets -- -D warnings

format: ## Format all code
	cargo fmt --all

unit: build ## All tests of the workspace, the system tests among them
	cargo test --locked --workspace --no-fail-fast

docs: build ## Are the generated documents up to date?
	$(XTASK) metrics --check
	$(XTASK) config --check

bench: packages ## Measure us and the peers in one run; tables go to loadtest/results/ (BENCH_SHORT=1: proves that it runs)
	bash loadtest/run-benches.sh

soak: packages ## 20,000 pushes under 120 faults on three brokers (goes on where it was broken off), 200 kills, 100,000 answers compared
	RENKU_SOAK_FOLDER=$${RENKU_SOAK_FOLDER:-$(HOME)/.cache/renku-graph/soak} RENKU_SOAK_PROJECTS=400 RENKU_SOAK_PUSHES=20000 RENKU_SOAK_FAULTS=120 \
	  RENKU_SOAK_ROUNDS=10 cargo test --locked -p system-tests -- --nocapture soak_on_three_brokers
	RENKU_LEAK_CHECKS=100000 cargo test --locked -p store --test store -- --nocapture everybody_sees
	RENKU_SOAK_KILLS=200 RENKU_SOAK_PUSHES=500 cargo test --locked -p system-tests -- --nocapture kill

idle: build ## What an idle `renkud up` costs
	$(XTASK) idle

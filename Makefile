# The one list of commands; .ci/run calls the same.
.DEFAULT_GOAL := help
.PHONY: help setup demo test e2e e2e-setup e2e-keda keda-setup bench bench-keda bench-spark rootfs golden clean
export TIDEGATE_CACHE ?= $(HOME)/.cache/tidegate

help: ## What can be made.
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what a build needs (says what, before it does).
	@scripts/setup.sh

demo: setup ## A day of an embedded simulated cluster in about a minute.
	@cargo build --quiet --bin tidegate
	@cargo run --quiet --bin tidegate -- demo

test: setup ## Format, lints, and every test that needs no server.
	cargo fmt --all -- --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --test e2e -- -D warnings
	cargo test

e2e-setup: setup ## Install the real servers into $$TIDEGATE_CACHE.
	@tests/e2e/install.sh

e2e: e2e-setup rootfs ## The suite against real Kafka, Kubernetes, Prometheus and Flink.
	cargo build --bins --examples
	cargo test --test e2e

keda-setup: setup ## Install KEDA as well: it takes 10 minutes to build, once.
	@tests/e2e/install.sh keda

e2e-keda: keda-setup ## The scenarios beside the real KEDA.
	cargo build --bins --examples
	cargo test --test e2e -- beside-keda

bench-keda: keda-setup ## KEDA and Tidegate side by side, 45 minutes; ARGS=--quick, ARGS="tidegate step", ARGS=--help.
	cargo build --bins --examples
	cargo test --test e2e -- bench-keda $(ARGS)

bench-spark: e2e-setup ## Spark's dynamic allocation and Tidegate, an hour; ARGS=--quick, ARGS="tidegate bursts".
	cargo build --bins --examples
	cargo test --test e2e -- bench-spark $(ARGS)

rootfs: setup ## Lay out in ./rootfs exactly what the image holds.
	@scripts/rootfs.sh rootfs

bench: setup ## The scorecard and the engine's speed; writes docs/scorecard.md.
	cargo build --release --bin tidegate
	$${CARGO_TARGET_DIR:-target}/release/tidegate scorecard --output docs/scorecard.md \
	  --date "$$(date -u +%F)" --commit "$$(git rev-parse --short HEAD)" \
	  $(if $(wildcard ../shared/traces/*.csv),--traces ../shared/traces)
	cargo bench --bench evaluate

golden: ## Accept what the code and the chart now produce as the expected files.
	@cargo build --quiet --bin tidegate
	cargo run --quiet --bin tidegate -- schema policy > config/schema/policy.json
	cargo run --quiet --bin tidegate -- schema settings > config/schema/settings.json
	cargo run --quiet --bin tidegate -- schema plant > config/schema/plant.json
	UPDATE_GOLDEN=1 INSTA_UPDATE=always cargo test --lib --test integration
	@if [ -x "$(TIDEGATE_CACHE)/bin/helm" ]; then \
	  cargo build --quiet --bins --examples && \
	  UPDATE_GOLDEN=1 cargo test --test e2e -- chart-renderings; \
	else \
	  echo "no chart renderings: there is no Helm yet (make e2e-setup)"; \
	fi

clean: ## Remove what was built here; the cache outside the tree stays.
	rm -rf rootfs target

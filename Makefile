# What a person types, and what CI runs. `make` alone lists the targets.
#
# Everything is built in one profile, release: wasmtime takes minutes to compile, and tests, demo and benchmarks share it.
# Plugins are members of the workspace: built for this machine they give the unit tests, built for $(WASM) the guests.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
WASM := wasm32-wasip2

# CI must build what Cargo.lock says; a person may be about to change it.
LOCKED := $(if $(CI),--locked)

# A folder in plugins/ is an official plugin, one in tests/guests/ a guest that the tests need.
PLUGINS := $(patsubst plugins/%/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml))
GUESTS := $(patsubst tests/guests/%/Cargo.toml,%,$(wildcard tests/guests/*/Cargo.toml))
LIBRARIES := homeostat-core homeostat-runtime homeostat-server

# cargo's `-p a -p b`.
packages = $(addprefix -p ,$(1))

.PHONY: help
help: ## List the targets
	@printf 'homeostat keeps groups of instances as they were declared.\n\nmake TARGET, where TARGET is one of\n\n'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

.PHONY: setup
setup: ## Get what building needs: the Wasm target, clippy and rustfmt (does nothing when they are there)
	@if ! command -v $(CARGO) >/dev/null; then \
	    echo 'setup: there is no cargo; install Rust with rustup and try again' >&2; exit 1; \
	fi
	@need() { \
	    if ! command -v rustup >/dev/null; then \
	        echo "setup: this Rust has no $$1, and there is no rustup to add it;" \
	             'install Rust with rustup, or add it with the packages of your system' >&2; exit 1; \
	    fi; \
	    echo "setup: adding $$1"; rustup "$${@:2}"; \
	}; \
	[[ -d "$$(rustc --print sysroot)/lib/rustlib/$(WASM)" ]] || need 'target $(WASM)' target add $(WASM); \
	$(CARGO) clippy --version >/dev/null 2>&1 || need clippy component add clippy; \
	$(CARGO) fmt --version >/dev/null 2>&1 || need rustfmt component add rustfmt

.PHONY: build
build: setup plugins ## Build target/release/homeostat, and the plugins as target/wasm32-wasip2/release/*.wasm
# The plugins are named with the command so that cargo chooses the features that it chooses for the whole workspace.
# Otherwise `make test` would compile wasmtime a second time.
	$(CARGO) build $(LOCKED) --release $(call packages,homeostat $(PLUGINS))

.PHONY: plugins
plugins: setup ## Build the plugins alone
	$(CARGO) build $(LOCKED) --release --target $(WASM) $(call packages,$(PLUGINS))

.PHONY: demo
demo: build ## Play the quickstart on real files: grow, heal, scale, roll, restart, destroy
	@examples/quickstart/demo.sh

# The end-to-end tests run the command and load the guests, so both are there before any test is. Documentation tests
# come first, so that the summary of the test runner is the last thing to be read.
.PHONY: test
test: setup plugins ## Run all tests, in the release profile
	$(if $(GUESTS),$(CARGO) build $(LOCKED) --release --target $(WASM) $(call packages,$(GUESTS)))
	$(CARGO) build $(LOCKED) --release --workspace
	$(CARGO) test $(LOCKED) --release --doc $(call packages,$(LIBRARIES))
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    set -x; $(CARGO) nextest run $(LOCKED) --release --workspace --no-fail-fast --config-file .ci/nextest.toml; \
	else \
	    echo 'test: cargo-nextest is not installed, so cargo test runs the same tests, a crate after the other'; \
	    set -x; $(CARGO) test $(LOCKED) --release --workspace --lib --bins --tests --no-fail-fast; \
	fi

.PHONY: sim
# The seed decides everything: what goes wrong in a world, and when.
sim: SEEDS ?= 20000
sim: START ?= 0
sim: setup ## Play worlds that go wrong around the group engine: SEEDS=how many, START=the first (make sim SEEDS=1 START=7)
	$(CARGO) run $(LOCKED) --release --package homeostat-core --example sim -- --seeds $(SEEDS) --start $(START)

.PHONY: bench
bench: build ## Run the benchmarks (some minutes; the machine should do nothing else)
	CRITERION_HOME='$(CURDIR)/target/criterion' $(CARGO) bench $(LOCKED) --workspace --bench '*'

# One part each, so that `make --keep-going check` tells all that is wrong.
.PHONY: check check-format check-lints check-guests check-docs check-licences check-scripts
check: check-format check-lints check-guests check-docs check-licences check-scripts ## Check formatting, lints, documentation, licences and scripts

check-format: setup
	$(CARGO) fmt --all --check

check-lints: setup
	$(CARGO) clippy $(LOCKED) --release --workspace --all-targets -- -D warnings

check-guests: setup
	$(CARGO) clippy $(LOCKED) --release --target $(WASM) $(call packages,$(PLUGINS) $(GUESTS)) -- -D warnings

check-docs: setup
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(LOCKED) --release --no-deps --document-private-items $(call packages,$(LIBRARIES))

check-licences:
	.ci/licences

check-scripts:
	@for script in .ci/run .ci/licences examples/*/*.sh; do bash -n "$$script"; done
	@if command -v shellcheck >/dev/null; then set -x; shellcheck --severity=warning .ci/run .ci/licences examples/*/*.sh; \
	else echo 'skipped: shellcheck: it is not installed; bash -n has read the scripts'; fi

.PHONY: fmt
fmt: setup ## Format the code
	$(CARGO) fmt --all

.PHONY: clean
clean: ## Remove all that was built (the next build compiles wasmtime again, for minutes)
	$(CARGO) clean

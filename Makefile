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
GUESTS := $(patsubst tests/guests/%/Cargo.toml,%,$(wildcard tests/guests/*/Cargo.toml)) instance-rest
LIBRARIES := homeostat-check homeostat-core homeostat-egress homeostat-process homeostat-runtime homeostat-server homeostat-source

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
test: setup plugins tools registry ## Run all tests, in the release profile
	$(if $(GUESTS),$(CARGO) build $(LOCKED) --release --target $(WASM) $(call packages,$(GUESTS)))
	$(CARGO) build $(LOCKED) --release --workspace
# What cannot be built, its test tells.
	-$(MAKE) --keep-going examples
	$(CARGO) test $(LOCKED) --release --doc --workspace
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    set -x; $(CARGO) nextest run $(LOCKED) --release --workspace --no-fail-fast --config-file .ci/nextest.toml; \
	else \
	    echo 'test: cargo-nextest is not installed, so cargo test runs the same tests, a crate after the other'; \
	    set -x; $(CARGO) test $(LOCKED) --release --workspace --lib --bins --tests --no-fail-fast; \
	fi

.PHONY: registry
# Without it, tests/registry.rs of homeostat-source says that it was skipped. The tests start processes of their own; the
# service that comes with the package is not wanted.
registry: ## Install docker-registry, which the tests of OCI registries run against (as root, by apt)
	@if command -v docker-registry >/dev/null; then :; \
	elif (( EUID != 0 )) || ! command -v apt-get >/dev/null; then \
	    echo 'skipped: registry: docker-registry is not installed, and only root can install it by apt-get'; \
	elif ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker-registry; } >/dev/null; then \
	    echo 'skipped: registry: apt-get could not install docker-registry'; \
	elif command -v systemctl >/dev/null; then \
	    systemctl disable --now docker-registry >/dev/null 2>&1 || true; \
	fi

# What authors of plugins in other languages need, in one folder that all examples and tests share. What cannot be had is
# said, with the reason, and is no error: the tests that need it say the same.
export HOMEOSTAT_TOOLS ?= $(CURDIR)/target/tools
AUTHORS_PACKAGES := clang lld wasi-libc libclang-rt-dev-wasm32 runit python3-venv
EXAMPLES := $(patsubst examples/%/Makefile,%,$(wildcard examples/*/Makefile))

.PHONY: tools
tools: ## Get the tools of plugin authors into target/tools: wit-bindgen, and (as root, by apt) a C compiler for Wasm
	@missing=(); for package in $(AUTHORS_PACKAGES); do \
	    dpkg-query --show --showformat='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$$package"); \
	done; \
	if (( $${#missing[@]} == 0 )); then :; \
	elif ! command -v apt-get >/dev/null; then echo "skipped: tools: no apt-get to install $${missing[*]}; install them by hand"; \
	elif (( EUID != 0 )); then echo "skipped: tools: not root, so these are not installed: apt-get install $${missing[*]}"; \
	elif ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$${missing[@]}"; } >/dev/null; then \
	    echo "skipped: tools: apt-get could not install $${missing[*]}"; \
	fi
	@[[ -x $(HOMEOSTAT_TOOLS)/bin/wit-bindgen ]] || \
	    $(CARGO) install wit-bindgen-cli --version '^0.61' --locked --root '$(HOMEOSTAT_TOOLS)' || \
	    echo 'skipped: tools: wit-bindgen cannot be built; examples and tests in C are skipped'
	@command -v python3 >/dev/null || echo 'skipped: tools: there is no python3; examples and tests in Python are skipped'
	@command -v npm >/dev/null || echo 'skipped: tools: there is no npm; examples and tests in JavaScript are skipped'

.PHONY: examples $(EXAMPLES:%=example-%)
# One part each: `make --keep-going examples` builds what can be built.
examples: setup tools $(EXAMPLES:%=example-%) ## Build the plugins in examples/, each into its folder

$(EXAMPLES:%=example-%): example-%:
	$(MAKE) --directory 'examples/$*'

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

# Lists the targets by itself; each needs only cargo and a C compiler unless its line says otherwise.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
export CARGO
# release, debug or dist (slower to build, smaller and faster).
PROFILE ?= release
# A folder of music for `make run`.
MUSIC ?=
export MUSIC

TARGET := $(or $(CARGO_TARGET_DIR),target)
OUT := $(TARGET)/$(PROFILE)
HOST := $(OUT)/zotify-host
CARGO_PROFILE := $(if $(filter debug,$(PROFILE)),dev,$(PROFILE))
DYLIB := $(if $(filter Darwin,$(shell uname -s)),dylib,so)
PLUGINS := $(notdir $(patsubst %/,%,$(wildcard plugins/*/)))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## host and bundled plugins, with the plugins' hashes, in target/release (PROFILE=debug|dist for others)
	$(CARGO) build --locked --profile $(CARGO_PROFILE) -p zotify-host $(PLUGINS:%=-p zotify-plugin-%)
# A running host has the old file mapped: replace it, never write into it.
	mkdir -p $(OUT)/plugins
	for plugin in $(PLUGINS); do \
	  file=libzotify_plugin_$${plugin//-/_}.$(DYLIB); \
	  cp $(OUT)/$$file $(OUT)/plugins/.$$file; \
	  mv -f $(OUT)/plugins/.$$file $(OUT)/plugins/$$file; \
	done
	$(HOST) plugin bundle $(OUT)/plugins

.PHONY: run
run: build ## build and serve; MUSIC=/path/to/music, else the demo library on the first start
	@if [ -n "$$MUSIC" ]; then folder=$$(cd "$${MUSIC/#\~\//$$HOME/}" && pwd -P); else folder=$$PWD/examples/demo-library; fi; \
	if [ ! -e zotify.toml ]; then \
	  $(HOST) config init --music "$$folder"; \
	elif [ -n "$$MUSIC" ]; then \
	  export ZOTIFY__PROVIDERS__LOCAL__SETTINGS__FOLDERS="[\"$$(sed 's/[\\"]/\\&/g' <<<"$$folder")\"]"; \
	fi; \
	exec $(HOST) serve

.PHONY: run-demo
run-demo: build ## a host with a simulated Spotify and a user whose account is connected, for anyone without one (needs curl and jq)
	$(CARGO) build --locked --profile $(CARGO_PROFILE) -p spotify-simulator
	exec examples/spotify-simulator/run-demo $(HOST) $(OUT)/spotify-simulator

.PHONY: tour
tour: build ## the README's tour with curl and jq, against a fresh host on the demo library
	examples/curl/with-demo.sh $(HOST) examples/curl/tour.sh

.PHONY: identity
identity: build ## a user's and an API key's whole life with curl and jq, against a fresh host
	ZOTIFY__AUTH__REGISTRATION=invite examples/curl/with-demo.sh $(HOST) examples/curl/identity.sh

# The tests load plugins as files, so all of them are built first.
.PHONY: check
check: ## format, lints, unit and integration tests on SQLite; no root
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) build --locked --workspace
	if $(CARGO) nextest --version >/dev/null 2>&1; \
	  then $(CARGO) nextest run --locked --workspace --no-tests=warn; \
	  else $(CARGO) test --locked --workspace --lib --bins --tests; fi

.PHONY: postgres
postgres: ## the host's tests on PostgreSQL (needs Debian's postgresql; starts a server of its own)
	$(CARGO) build --locked --workspace
	if $(CARGO) nextest --version >/dev/null 2>&1; \
	  then .ci/postgres $(CARGO) nextest run --locked -p zotify-host; \
	  else .ci/postgres $(CARGO) test --locked -p zotify-host --lib --bins --tests; fi

.PHONY: proxies
proxies: ## the host behind nginx and Caddy (needs Debian's nginx-light and caddy; root installs them)
	$(CARGO) build --locked --workspace
	.ci/proxies $(CARGO) test --locked -p zotify-host --test it -- proxies::

# Ten seconds for each target; more with SECONDS_EACH=600.
SECONDS_EACH ?= 10
.PHONY: fuzz
fuzz: ## the fuzz targets for everything that is parsed, for a bounded time (needs a C++ compiler)
	.ci/fuzz $(SECONDS_EACH)

.PHONY: load
load: ## 1,000 clients for a minute, twice, while the plugin is killed every 5 s: errors and growth are failures
	.ci/load

.PHONY: test
test: deny proxies check postgres fuzz docs ## all of these and the documentation's examples: what a change must pass
	$(CARGO) test --locked --workspace --doc

.PHONY: generate
generate: ## write the generated pages of docs/ anew: the API, the configuration, the command line, who may do what
	$(CARGO) build --locked -p zotify-host
	$(TARGET)/debug/zotify-host openapi >docs/openapi.json
	$(TARGET)/debug/zotify-host docs config >docs/configuration.md
	$(TARGET)/debug/zotify-host docs cli >docs/cli.md
	$(CARGO) build --locked --workspace
	UPDATE_GENERATED=1 $(CARGO) test --locked -p zotify-host --test it -- matrix::

.PHONY: docs
docs: ## build the API documentation of all crates; a warning is an error
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

.PHONY: deny
deny: ## licences, sources and banned crates, offline (needs cargo-deny)
	@if $(CARGO) deny --version >/dev/null 2>&1; \
	  then $(CARGO) deny --offline --config .github/deny.toml check bans licenses sources; \
	  else echo "skipped: cargo deny is not installed (cargo install --locked cargo-deny)"; fi

.PHONY: peers
peers: ## tests against other people's music files (needs Debian's apt-get and dpkg, and pip)
	.ci/peers

# Groups of rows, such as ROWS=start,requests; all where it is empty.
ROWS ?=
.PHONY: bench
bench: export PROFILE := release
bench: build ## figures beside a bare server, and beside mpd and supysonic where they are installed
	$(CARGO) build --locked --release -p hostile-plugin
	$(CARGO) bench --locked -p zotify-host --bench baselines -- $(ROWS)
	$(if $(ROWS),,$(CARGO) bench --locked -p zotify-host --bench catalogue -- 100000 && $(CARGO) bench --locked -p zotify-host --bench catalogue -- 1000000)

# A target folder of its own, as everything is compiled anew. Plugins are built with it: tests find them beside themselves.
.PHONY: coverage
coverage: export CARGO_TARGET_DIR := $(abspath $(TARGET))/coverage
coverage: ## line coverage of check's tests (needs cargo-llvm-cov, and llvm-tools or LLVM_COV and LLVM_PROFDATA)
	@$(CARGO) llvm-cov --version >/dev/null 2>&1 || { \
	  echo "missing: cargo install --locked cargo-llvm-cov && rustup component add llvm-tools"; exit 1; }
	set -a; eval "$$($(CARGO) llvm-cov show-env)"; set +a; \
	$(CARGO) llvm-cov clean --workspace; \
	$(CARGO) build --locked --workspace; \
	$(CARGO) test --locked --workspace --lib --bins --tests; \
	$(CARGO) llvm-cov report --summary-only

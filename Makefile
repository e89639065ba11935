# make run     installs what is missing, builds the page and the server, serves http://localhost:8080
# make test    installs what the tests need and runs everything
# make fuzz    fuzzes everything that parses bytes of strangers, ten minutes each
# make bench   what a packet costs, beside its floor: tables in target/report
# make check   format, lints, layers, dependencies, documentation, types: all of `make test` that runs nothing
#
# Everything Rust is compiled in one profile (release) and for the whole workspace at once: another profile, or another choice of packages with
# other features, would compile all dependencies a second time. What make does itself is remembered in target/stamps; cargo remembers the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

STAMPS := target/stamps
LOGS := target/logs
CARGO_ARGS := --release --locked --workspace
BINARY := target/release/ninefold
# What npm and vite write last.
NPM := web/node_modules/.package-lock.json
PAGE := web/dist/index.html

DENY_VERSION := 0.20.2
NEXTEST_VERSION := 0.9.143

# What the page is built from. Folders are listed too, since a deleted file shows only there.
web-inputs = $(shell [ ! -d web ] || find $(1) \( -name node_modules -o -name dist -o -name test-results -o -name playwright-report \) -prune \
	-o -type f ! -name '*.timestamp-*' -print -o -type d -path '*/src*' -print)
WEB_PAGE := $(call web-inputs,web -path web/e2e -prune -o)
WEB_ALL := $(call web-inputs,web)
WEB_PACKAGES := $(wildcard web/package.json web/package-lock.json web/*/package.json)

# Seconds for each fuzz target.
FUZZ_SECONDS ?= 600
FUZZ_SHORT_SECONDS := 10

.PHONY: help run build test bench check fmt clippy tidy deny doc web-check rust-test web-test e2e fuzz fuzz-short toolchain

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: build
	exec $(BINARY) serve

build: $(STAMPS)/build-packages $(PAGE) toolchain
	cargo build $(CARGO_ARGS)

test: $(STAMPS)/test-packages
	@$(MAKE) check
	@$(MAKE) rust-test
	@$(MAKE) fuzz-short
	@$(MAKE) web-test
	@$(MAKE) e2e
	@.ci/summary $(LOGS)/rust.log $(LOGS)/web.log $(LOGS)/e2e.log

# Only the ratios travel from one machine to another; nothing else should run beside it.
bench: build
	target/release/ninefold-bench forward
	target/release/ninefold-bench wire --viewers 20,100

check: fmt clippy tidy deny doc web-check

fmt: toolchain
	cargo fmt --all --check

clippy: toolchain $(STAMPS)/build-packages $(PAGE)
	cargo clippy $(CARGO_ARGS) --all-targets -- -D warnings

# The same test runs again in rust-test; here it says early what is wrong.
tidy: toolchain $(STAMPS)/nextest $(STAMPS)/build-packages $(PAGE)
	cargo nextest run $(CARGO_ARGS) --lib -E 'test(/^tidy::/)' --status-level fail --final-status-level fail

deny: toolchain $(STAMPS)/deny
	cargo deny --locked check -D unmatched-skip -D unnecessary-skip --hide-inclusion-graph bans licenses sources

doc: toolchain $(STAMPS)/build-packages $(PAGE)
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_ARGS) --no-deps --lib

web-check: $(STAMPS)/web-check

rust-test: $(STAMPS)/nextest build
	@mkdir -p $(LOGS)
	.ci/libraries $(BINARY)
	cargo nextest run $(CARGO_ARGS) 2>&1 | tee $(LOGS)/rust.log

# Everything that parses strangers' bytes, with libFuzzer; `FUZZ_SECONDS=60 make fuzz` for less of it.
fuzz: $(STAMPS)/test-packages $(STAMPS)/build-packages $(PAGE) toolchain
	.ci/fuzz $(FUZZ_SECONDS)

fuzz-short: $(STAMPS)/test-packages $(STAMPS)/build-packages $(PAGE) toolchain
	.ci/fuzz $(FUZZ_SHORT_SECONDS)

web-test: $(NPM)
	@mkdir -p $(LOGS)
	cd web && npm test 2>&1 | tee ../$(LOGS)/web.log

e2e: $(STAMPS)/test-packages build
	@mkdir -p $(LOGS)
	cd web && NINEFOLD_BIN=$(CURDIR)/$(BINARY) npm run e2e --workspace e2e 2>&1 | tee ../$(LOGS)/e2e.log

# The toolchain is the one thing that nobody but the user can choose, so it is only looked at.
toolchain:
	@command -v cargo >/dev/null || { echo 'Rust is missing: install it with rustup, https://rustup.rs' >&2; exit 1; }
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy

$(STAMPS)/build-packages: .ci/packages
	@mkdir -p $(@D)
	.ci/packages gcc=cc libc6-dev
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' \
		|| { echo 'Node.js 20.19 or newer is missing: https://nodejs.org' >&2; exit 1; }
	@touch $@

# Browsers for the end-to-end tests, namespaces for Firefox, letters for the Chinese pictures, and a compiler for libFuzzer.
$(STAMPS)/test-packages: .ci/packages
	@mkdir -p $(@D)
	.ci/packages chromium=chromium firefox-esr=firefox-esr iproute2=ip nftables=nft fonts-noto-cjk g++=g++
	@touch $@

$(NPM): $(WEB_PACKAGES) $(STAMPS)/build-packages
	cd web && npm ci --no-audit --no-fund
	@touch $@

$(PAGE): $(NPM) $(WEB_PAGE)
	cd web && npm run build
	@touch $@

$(STAMPS)/web-check: $(NPM) $(WEB_ALL)
	cd web && npm run check
	@touch $@

# Tools are built without optimisation: they run for seconds and would compile for minutes.
$(STAMPS)/deny: | toolchain
	@mkdir -p $(@D)
	cargo deny --version 2>/dev/null || CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --no-default-features cargo-deny --version $(DENY_VERSION)
	@touch $@

$(STAMPS)/nextest: | toolchain
	@mkdir -p $(@D)
	cargo nextest --version 2>/dev/null || CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug cargo-nextest --version $(NEXTEST_VERSION)
	@touch $@

# make          builds the server
# make test     installs what the tests need and passes them all
# make help     lists the rest

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
# The steps of `test` stand in the order in which they fail soonest.
.NOTPARALLEL:

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
KVARTS := $(abspath $(TARGET))/release/kvarts
# Seconds for each fuzz target.
FUZZ_S ?= 30

# $(call step,NAME) says what begins, and when.
step = @printf '\n== %s (%s)\n' '$(1)' "$$(date +%T)"

.PHONY: build run test test-tools format lint deny unit clients docs bench fuzz valgrind help

## the server, target/release/kvarts
build:
	$(call step,release build)
	$(CARGO) build --release --locked

## the server, started
run:
	$(CARGO) run --release --locked

## everything below that checks something, tools included
test: test-tools format lint deny unit build clients
	$(call step,all tests passed)

## installs Redis, a JDK, Python, Node.js, Go and Chromium where they are missing, and what the clients' tests are made of
test-tools:
	$(call step,test tools)
	.ci/test-tools
	tests/clients/run.sh --prepare

## rustfmt
format:
	$(call step,format)
	$(CARGO) fmt --check

## clippy, no warning allowed
lint:
	$(call step,clippy)
	$(CARGO) clippy --locked --all-targets -- -D warnings

## unit and integration tests, debug build: the keyspace then checks that every key was declared
unit:
	$(call step,tests)
	$(CARGO) test --locked

## real clients against the release build
clients: build
	$(call step,real clients)
	KVARTS_BIN=$(KVARTS) tests/clients/run.sh

## licences, duplicates and sources of all crates; says so and goes on where cargo-deny is not installed
deny:
	$(call step,licences and sources of crates)
	if $(CARGO) deny --version >/dev/null 2>&1; then \
	  $(CARGO) deny --locked check licenses bans sources; \
	else \
	  echo 'not checked: cargo-deny is not installed (cargo install --locked cargo-deny)'; \
	fi

## writes the pages that are made from the source: docs/ and a list in ARCHITECTURE.md
docs:
	KVARTS_WRITE_DOCS=1 $(CARGO) test --locked --test it docs:: -- --test-threads=1

## benchmarks, and a table beside a peer's figures where valkey or redis is installed
bench: build
	$(CARGO) bench --locked
	KVARTS_BIN=$(KVARTS) benches/side-by-side || [ $$? = 3 ]

## fuzzes each target for FUZZ_S seconds (30)
fuzz:
	for target in fuzz/fuzz_targets/*.rs; do fuzz/run "$$(basename "$$target" .rs)" $(FUZZ_S); done

## the modules with unsafe code, and what is built on them, under valgrind
valgrind:
	binary=$$($(CARGO) test --locked --lib --no-run --message-format=json \
	  | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1); \
	TERM=dumb PROPTEST_CASES=16 valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
	  --errors-for-leak-kinds=definite --suppressions=tests/valgrind.supp "$$binary" --skip uniform \
	  alloc::grown keyspace:: primitives::thin types::packed types::set types::hash types::list

help:
	@awk '/^## / { text = substr($$0, 4); next } \
	  text && /^[a-z-]+:/ { sub(/:.*/, ""); printf "make %-11s %s\n", $$0, text; text = "" }' $(MAKEFILE_LIST)

#!/usr/bin/env bash
# Real clients against a real server.
#
#   run.sh [--prepare] [SUITE...]
#
# Runs the named suites (java, python, node, go, console, cli, sentinel, examples), or all of them. KVARTS_BIN names the server's binary (default: target/release/kvarts).
# Prints one line a suite and, last, "N passed, N failed"; the exit status is non-zero when one failed. A suite's whole
# output is in target/clients/SUITE.log. --prepare only fetches and builds what the suites need, so that a later run
# works without a network.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/target/clients
prepare_limit_s=900
all=(java python node go console cli sentinel examples)

main() {
  local prepare_only=false suites=() argument suite
  for argument; do
    if [[ $argument == --prepare ]]; then
      prepare_only=true
    elif [[ " ${all[*]} " == *" $argument "* ]]; then
      suites+=("$argument")
    else
      echo "unknown suite: $argument (${all[*]})" >&2
      exit 2
    fi
  done
  ((${#suites[@]})) || suites=("${all[@]}")

  if ! $prepare_only; then
    KVARTS_BIN=$(realpath -e -- "${KVARTS_BIN:-$root/target/release/kvarts}") || exit 2
    export KVARTS_BIN
  fi

  mkdir -p "$out"
  local passed=0 failed=0 start word
  for suite in "${suites[@]}"; do
    start=$SECONDS
    if "prepare_$suite" >"$out/$suite.log" 2>&1 && { $prepare_only || "run_$suite" >>"$out/$suite.log" 2>&1; }; then
      passed=$((passed + 1))
      word=passed
    else
      failed=$((failed + 1))
      word=failed
      tail -n 200 "$out/$suite.log"
    fi
    printf '%-8s %s in %d s\n' "$suite" "$word" "$((SECONDS - start))"
  done
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

# Goes as far as the tests without running any, so that every plugin is fetched.
prepare_java() {
  local project=$here/java
  cmp -s "$project/pom.xml" "$project/target/prepared.xml" && return
  limited "$prepare_limit_s" mvn -q -B -f "$project/pom.xml" -DskipTests test &&
    cp "$project/pom.xml" "$project/target/prepared.xml"
}
# Sentinel's tests need the servers that the suite `sentinel` starts, and run there.
run_java() { limited 600 mvn -q -B -f "$here/java/pom.xml" test '-Dtest=!Sentinel*Test'; }

prepare_python() {
  local venv=$out/python-venv
  cmp -s "$here/python/requirements.txt" "$venv/installed.txt" && return
  rm -rf "$venv"
  limited "$prepare_limit_s" python3 -m venv "$venv" &&
    limited "$prepare_limit_s" "$venv/bin/pip" install -q -r "$here/python/requirements.txt" &&
    cp "$here/python/requirements.txt" "$venv/installed.txt"
}
run_python() { (cd "$here/python" && limited 180 "$out/python-venv/bin/python" -B -m unittest -v); }

prepare_node() { packages "$here/node"; }
run_node() { (cd "$here/node" && limited 180 node --test --test-reporter=spec); }

prepare_go() { (cd "$here/go" && limited "$prepare_limit_s" go vet ./...); }
run_go() { (cd "$here/go" && limited 180 go test -count=1 ./...); }

# The console in a browser. KVARTS_CHROMIUM names another one; with KVARTS_SCREENSHOTS its pictures are kept in that folder.
prepare_console() { command -v "${KVARTS_CHROMIUM:-chromium}" && packages "$here/console"; }
run_console() {
  local chromium
  chromium=$(command -v "${KVARTS_CHROMIUM:-chromium}") || return
  (cd "$here/console" && KVARTS_CHROMIUM=$chromium limited 600 node --test --test-reporter=spec)
}

prepare_cli() { command -v redis-cli redis-benchmark; }
run_cli() { limited 120 bash "$here/cli.sh"; }

prepare_sentinel() { prepare_java && prepare_python && prepare_node; }
run_sentinel() { limited 300 python3 "$here/sentinel.py" "$out/python-venv/bin/python"; }

# What is in examples/, as its readers use it.
prepare_examples() {
  prepare_python && packaged "$root/examples/spring-session" &&
    limited "$prepare_limit_s" mvn -q -B -f "$root/examples/testcontainers/pom.xml" -DskipTests test
}
run_examples() { (cd "$here/examples" && limited 600 "$out/python-venv/bin/python" -B -m unittest -v); }

# packaged FOLDER: builds a Maven project again when anything of it has changed.
packaged() {
  local state
  state=$(cd "$1" && find pom.xml src -type f -print0 | sort -z | xargs -0 sha256sum) || return
  [[ -f $1/target/packaged.txt && $state == "$(<"$1/target/packaged.txt")" ]] && return
  limited "$prepare_limit_s" mvn -q -B -f "$1/pom.xml" package && echo "$state" >"$1/target/packaged.txt"
}

# packages FOLDER: installs what its package-lock.json names.
packages() {
  cmp -s "$1/package-lock.json" "$1/node_modules/installed.json" && return
  (cd "$1" && limited "$prepare_limit_s" npm ci --no-audit --no-fund) &&
    cp "$1/package-lock.json" "$1/node_modules/installed.json"
}

# limited SECONDS COMMAND...: ends the command and what it started when the time is up.
limited() { timeout -k 15 "$@"; }

main "$@"

#!/usr/bin/env bash
# redis-cli and redis-benchmark (Debian's redis-tools) against the binary that KVARTS_BIN names.
# Prints a line for each check that fails and, last, how many passed and failed.
set -uo pipefail

: "${KVARTS_BIN:?must name the server\'s binary}"
for tool in redis-cli redis-benchmark; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed (package redis-tools)"; exit 1; }
done

work=$(mktemp -d -t kvarts-cli-XXXXXX)
pids=()
passed=0
failed=0

main() {
  start_server standalone
  local one=$port one_dir=$dir one_pid=$server_pid
  plain_commands "$one"
  standard_input "$one"
  inline_requests "$one"
  walks_over_the_keyspace "$one"
  tls_commands "$one" "$one_dir"
  benchmark "$one" "$one_dir"
  stop_server "$one_pid"

  start_server cluster --cluster-enabled yes
  local cluster_pid=$server_pid
  cluster_commands "$port" "$read_only_port" "$dir"
  stop_server "$cluster_pid"
}

plain_commands() {
  local cli=(redis-cli -p "$1")
  same 'ping' PONG "$("${cli[@]}" PING)"
  same 'set' OK "$("${cli[@]}" SET greeting 'hello world')"
  same 'get' 'hello world' "$("${cli[@]}" GET greeting)"
  same 'get as a terminal shows it' '"hello world"' "$("${cli[@]}" --no-raw GET greeting)"
  same 'get of nothing' '(nil)' "$("${cli[@]}" --no-raw GET nothing)"
  same 'an integer' '(integer) 5' "$("${cli[@]}" --no-raw INCRBY number 5)"
  same 'a list as csv' '"a","b","c"' "$("${cli[@]}" RPUSH list a b c >/dev/null; "${cli[@]}" --csv LRANGE list 0 -1)"
  same 'a map in RESP3' '1# "field" => "value"' \
    "$("${cli[@]}" HSET hash field value >/dev/null; "${cli[@]}" -3 --no-raw HGETALL hash)"
  same 'an error' '(error) ERR value is not an integer or out of range' "$("${cli[@]}" --no-raw INCR greeting)"
  same 'another database' '(nil)' "$("${cli[@]}" --no-raw -n 3 GET greeting)"
  same 'an address as a URL' 'hello world' "$(redis-cli -u "redis://127.0.0.1:$1/0" GET greeting)"
  match 'info' 'redis_version:[0-9]+\.' "$("${cli[@]}" INFO server)"
  match 'the help of a command' '^summary$' "$("${cli[@]}" COMMAND DOCS get)"
}

standard_input() {
  local cli=(redis-cli -p "$1")
  same 'the last argument from standard input' 'from stdin' \
    "$(printf 'from stdin' | "${cli[@]}" -x SET input >/dev/null; "${cli[@]}" GET input)"
  same 'commands from standard input' $'OK\n2\n2' \
    "$(printf 'SET counter 1\nINCR counter\nGET counter\n' | "${cli[@]}")"
  match 'mass insertion' 'errors: 0, replies: 2000' \
    "$(for i in {1..2000}; do printf 'SET bulk:%d %d\r\n' "$i" "$i"; done | "${cli[@]}" --pipe)"
  same 'mass insertion, the last key' 2000 "$("${cli[@]}" GET bulk:2000)"
}

inline_requests() {
  same 'inline requests' $'+OK\r\n$5\r\na b c\r\n:1\r\n' \
    "$(inline "$1" 3 "SET inline 'a b c'" 'GET inline' 'EXISTS inline'; echo .)" trailing-dot
  match 'inline, quotes without an end' '^-ERR Protocol error: unbalanced quotes in request' \
    "$(inline "$1" 1 'GET "inline')"
}

walks_over_the_keyspace() {
  local cli=(redis-cli -p "$1")
  same '--scan sees every key' 2000 "$("${cli[@]}" --scan --pattern 'bulk:*' | sort -u | wc -l)"
  same '--scan without a pattern' list "$("${cli[@]}" --scan | grep -x list)"
  "${cli[@]}" SETRANGE biggest 9999 x >/dev/null
  "${cli[@]}" HSET wide a 1 b 2 c 3 d 4 >/dev/null
  local report
  report=$("${cli[@]}" --bigkeys)
  match '--bigkeys, a string' 'Biggest string found .?"?biggest"?.? has 10000 bytes' "$report"
  match '--bigkeys, a hash' 'Biggest +hash found .?"?wide"?.? has 4 fields' "$report"
  match '--bigkeys, a list' 'Biggest +list found .?"?list"?.? has 3 items' "$report"
}

tls_commands() {
  wait_for_ca "$1" "$2"
  local cli=(redis-cli -p "$1" --tls --cacert "$2/tls/ca.crt")
  same 'TLS, by name' 'hello world' "$("${cli[@]}" -h localhost GET greeting)"
  same 'TLS, by address' 'hello world' "$("${cli[@]}" -h 127.0.0.1 GET greeting)"
  match 'TLS without knowing the CA' 'certificate verify failed' "$(redis-cli -p "$1" --tls PING 2>&1)"
  same 'plain, on the same port' PONG "$(redis-cli -p "$1" PING)"
}

benchmark() {
  local report name
  report=$(redis-benchmark -p "$1" -q -n 1000 -t ping,set,get,incr,sadd,hset,mset 2>&1 | tr '\r' '\n')
  for name in PING_INLINE PING_MBULK SET GET INCR SADD HSET 'MSET \(10 keys\)'; do
    match "redis-benchmark, $name" "^$name: [0-9.]+ requests per second" "$report"
  done
  report=$(redis-benchmark -p "$1" -q -n 5000 -P 16 -r 100 -t set,get 2>&1 | tr '\r' '\n')
  match 'redis-benchmark, pipelined SET' '^SET: [0-9.]+ requests per second' "$report"
  match 'redis-benchmark, pipelined GET' '^GET: [0-9.]+ requests per second' "$report"
  report=$(redis-benchmark -h localhost -p "$1" --tls --cacert "$2/tls/ca.crt" -q -n 1000 -c 10 -t set,get 2>&1 | tr '\r' '\n')
  match 'redis-benchmark, SET over TLS' '^SET: [0-9.]+ requests per second' "$report"
}

cluster_commands() {
  local write=(redis-cli -p "$1") read=(redis-cli -p "$2")
  same 'cluster, keys of other slots together' \
    "(error) CROSSSLOT Keys in request don't hash to the same slot" "$("${write[@]}" --no-raw MSET a 1 b 2)"
  match 'cluster, a write at the read-only port' "^MOVED 7629 [^ ]+:$1\$" "$("${read[@]}" SET k v)"
  same 'cluster, -c follows to the write port' OK "$("${read[@]}" -c SET k v | grep -v Redirected)"
  same 'cluster, -c over TLS' v "$(wait_for_ca "$1" "$3"; \
    redis-cli -h localhost -p "$2" -c --tls --cacert "$3/tls/ca.crt" GET k | grep -v Redirected)"
  match 'cluster, its state' 'cluster_state:ok' "$("${write[@]}" CLUSTER INFO)"
  match 'cluster, --cluster check' '\[OK\] All 16384 slots covered' "$(redis-cli --cluster check "127.0.0.1:$1" 2>&1)"
  match 'cluster, redis-benchmark' '^SET: [0-9.]+ requests per second' \
    "$(redis-benchmark -p "$1" -q -n 1000 -r 1000 -t set 2>&1 | tr '\r' '\n')"
}

# same NAME EXPECTED ACTUAL [trailing-dot]: with the dot, the actual text ends in one that kept its line ends from the shell.
same() {
  local actual=$3
  [[ ${4:-} == trailing-dot ]] && actual=${actual%.*}
  [[ $actual == "$2" ]]
  verdict $? "$1" "$2" "$actual"
}

# match NAME REGEX ACTUAL: a line of the actual text matches.
match() {
  grep -qE "$2" <<<"$3"
  verdict $? "$1" "a line like $2" "$3"
}

verdict() {
  if (($1 == 0)); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED: %s\n  expected: %q\n  actual:   %q\n' "$2" "$3" "$4"
  fi
}

# inline PORT REPLIES LINE...: sends the lines as they are and prints what comes back, up to that many replies.
inline() {
  local target=$1 replies=$2 line count=0
  shift 2
  exec 3<>"/dev/tcp/127.0.0.1/$target"
  printf '%s\r\n' "$@" >&3
  while ((count < replies)) && IFS= read -r -t 5 line <&3; do
    printf '%s\n' "$line"
    [[ $line == '$'* ]] || count=$((count + 1))
  done
  exec 3>&-
}

# start_server NAME FLAG...: sets port, read_only_port, dir and server_pid.
start_server() {
  local name=$1 attempt
  shift
  port=$(free_port)
  read_only_port=$(free_port)
  dir=$work/$name
  mkdir "$dir"
  "$KVARTS_BIN" --port "$port" --read-only-port "$read_only_port" --dir "$dir" "$@" >"$work/$name.log" 2>&1 &
  server_pid=$!
  pids+=("$server_pid")
  for ((attempt = 0; attempt < 1500; attempt++)); do
    if [[ $(redis-cli -p "$port" PING 2>/dev/null) == PONG && $(redis-cli -p "$read_only_port" PING 2>/dev/null) == PONG ]]; then
      return
    fi
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.02
  done
  echo "the server ($name) did not start; the end of its log:"
  tail -n 40 "$work/$name.log"
  exit 1
}

# Waits for the end, too: a server that does not end is a failure, which the suite's time limit tells.
stop_server() {
  kill "$1"
  wait "$1"
}

# The server makes its CA when the first TLS client comes.
wait_for_ca() {
  local attempt
  redis-cli -p "$1" --tls --insecure PING >/dev/null
  for ((attempt = 0; attempt < 500; attempt++)); do
    [[ -s $2/tls/ca.crt ]] && return
    sleep 0.02
  done
  echo "the server made no $2/tls/ca.crt"
}

# Below the kernel's range for outgoing connections, so that no client takes it meanwhile.
free_port() {
  local candidate
  while :; do
    candidate=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || break
  done
  echo "$candidate"
}

clean_up() {
  local pid
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null && wait "$pid"
  done
  rm -rf "$work"
}
trap clean_up EXIT

main
echo "$passed passed, $failed failed"
((failed == 0))

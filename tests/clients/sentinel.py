"""Clients that know Sentinel follow a failover: Lettuce, Jedis, Redisson, redis-py and ioredis, all at once.

    sentinel.py PYTHON

Starts a primary with two replicas (the binary that KVARTS_BIN names) and three Sentinels, then the tests of the clients,
with PYTHON for redis-py. When every client has reported that it writes and reads, the primary is killed, once. Each test
goes on until its client writes to the new primary, and reports again.

The tests find in the environment: KVARTS_SENTINELS, addresses with commas between them, of Sentinels that watch
"mymaster"; KVARTS_REPORTS, a folder. A test makes a file NAME.ready there and, at its end, NAME.done; the file "killed"
appears once the primary is dead, and holds its port. Without these variables the tests are skipped.

KVARTS_SENTINEL names another program than the Sentinel of the PATH.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "python"))
sys.dont_write_bytecode = True

from kvarts_server import KvartsServer, answers, ask, two_free_ports, until  # noqa: E402

CLIENTS = ["lettuce", "jedis", "redisson", "redis-py", "ioredis"]
QUORUM = 2
# Maven compiles before the first Java client is ready.
READY_LIMIT_S = 120
FOLLOW_LIMIT_S = 60
LOG_LINES_SHOWN = 40


def main() -> None:
    python = sys.argv[1]
    with contextlib.ExitStack() as ending:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="kvarts-sentinel-"))
        ending.callback(shutil.rmtree, folder)
        reports = folder / "reports"
        reports.mkdir()

        servers = start_servers(ending)
        ending.push(lambda failed, *_: failed and show_logs(folder, servers))
        sentinels = [start_sentinel(ending, folder, servers[0].port) for _ in range(3)]
        until("each Sentinel knows all", lambda: all(knows_all(port) for port in sentinels))
        print("a primary, two replicas and three Sentinels run", flush=True)

        environment = os.environ | {
            "KVARTS_SENTINELS": ",".join(f"127.0.0.1:{port}" for port in sentinels),
            "KVARTS_REPORTS": str(reports),
        }
        suites = start_suites(ending, python, environment)
        await_reports("ready", reports, suites, READY_LIMIT_S)
        named = primary_of(sentinels[0])
        dead = next(server for server in servers if server.port == named)
        dead.kill()
        write_whole(reports / "killed", str(dead.port))
        print(f"the primary on port {dead.port} was killed", flush=True)
        start = time.monotonic()
        await_reports("done", reports, suites, FOLLOW_LIMIT_S)
        print(f"all clients have followed after {time.monotonic() - start:.1f} s", flush=True)
        for name, suite in suites.items():
            if status := suite.wait(FOLLOW_LIMIT_S):
                sys.exit(f"{name} ended with {status}")


def start_servers(ending: contextlib.ExitStack) -> list[KvartsServer]:
    """A primary, and two replicas whose links are up."""
    servers = []
    for _ in range(3):
        follows = ["--replicaof", f"127.0.0.1 {servers[0].port}"] if servers else []
        servers.append(KvartsServer("--repl-diskless-sync-delay", "0", *follows))
        ending.callback(servers[-1].stop)
    for replica in servers[1:]:
        until("its link is up", lambda: "master_link_status:up" in ask(replica.port, "INFO", "replication"))
    return servers


def start_sentinel(ending: contextlib.ExitStack, folder: pathlib.Path, primary: int) -> int:
    """The port of a Sentinel that watches the primary."""
    port, _ = two_free_ports()
    directory = folder / f"sentinel-{port}"
    directory.mkdir()
    configuration = directory / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {primary} {QUORUM}\n"
        "sentinel down-after-milliseconds mymaster 3000\nsentinel failover-timeout mymaster 5000\n"
    )
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen([sentinel_program(), configuration, "--sentinel"], cwd=directory, stdout=log)
    ending.callback(process.wait)
    ending.callback(process.kill)
    until("a Sentinel answers", lambda: answers(port))
    return port


def sentinel_program() -> str:
    """Any of these is a Sentinel with the flag --sentinel."""
    names = ["redis-server", "redis-sentinel", "valkey-server", "valkey-sentinel"]
    found = os.environ.get("KVARTS_SENTINEL") or next(filter(None, map(shutil.which, names)), None)
    return found or sys.exit("no Sentinel in the PATH: `make test-tools` installs redis-server, which is one")


def knows_all(sentinel: int) -> bool:
    fields = ask(sentinel, "SENTINEL", "MASTER", "mymaster").split("\r\n")
    # Names and values in turn, each behind a line with its length.
    known = dict(zip(fields[2::4], fields[4::4]))
    return known["num-slaves"] == "2" and known["num-other-sentinels"] == "2"


def primary_of(sentinel: int) -> int:
    return int(ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster").split("\r\n")[4])


def start_suites(
    ending: contextlib.ExitStack, python: str, environment: dict[str, str]
) -> dict[str, subprocess.Popen]:
    """The tests, a process for each language; the Java clients' run beside each other in theirs."""
    parallel = "junit.jupiter.execution.parallel"
    java = [
        *("mvn", "-q", "-B", "-f", HERE / "java" / "pom.xml", "test", "-Dtest=Sentinel*Test"),
        *(f"-D{parallel}.enabled=true", f"-D{parallel}.mode.classes.default=concurrent"),
        *(f"-D{parallel}.config.strategy=fixed", f"-D{parallel}.config.fixed.parallelism=3"),
    ]
    commands = {
        "java": (java, HERE / "java"),
        "python": ([python, "-B", "-m", "unittest", "-v", "test_sentinel"], HERE / "python"),
        "node": (["node", "--test", "--test-reporter=spec", "test/sentinel.test.js"], HERE / "node"),
    }
    suites = {}
    for name, (command, directory) in commands.items():
        suites[name] = subprocess.Popen(command, cwd=directory, env=environment)
        ending.callback(suites[name].wait)
        ending.callback(suites[name].terminate)
    return suites


def await_reports(word: str, reports: pathlib.Path, suites: dict[str, subprocess.Popen], limit_s: float) -> None:
    def all_have_reported() -> bool:
        for name, suite in suites.items():
            if suite.poll():
                sys.exit(f"{name} ended with {suite.returncode}, and no report of: {missing()}")
        return not missing()

    def missing() -> list[str]:
        return [client for client in CLIENTS if not (reports / f"{client}.{word}").exists()]

    try:
        until(f"every client is {word}", all_have_reported, limit_s)
    except TimeoutError as error:
        sys.exit(f"{error}; missing: {missing()}")


def show_logs(folder: pathlib.Path, servers: list[KvartsServer]) -> None:
    logs = {f"server {server.port}": server.end_of_log() for server in servers}
    for log in sorted(folder.glob("*/log")):
        logs[log.parent.name] = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
    for name, text in logs.items():
        print(f"\n{name} has logged:\n{text}", flush=True)


def write_whole(path: pathlib.Path, text: str) -> None:
    """The file appears with all of the text in it."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)


main()

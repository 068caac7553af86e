"""What docs/migration.md and docs/durability.md tell to do, step by step: its lines are run as they stand, with servers of this machine
for its host names, and a folder for its paths."""

import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import unittest

import redis

from pages import all_blocks
from todo import KvartsServer, until
from kvarts_server import answers, two_free_ports  # noqa: E402 (todo.py has its folder)

MIGRATION, DURABILITY = "docs/migration.md", "docs/durability.md"

# How the blocks begin that are run here.
FOLLOW = "kvarts --dir /var/lib/kvarts --appendonly yes --requirepass"
HAS_EVERYTHING = "role:slave"
SWITCH = "redis-cli -h old FAILOVER TO new"
IS_OVER = "old:  role:slave"
WITHOUT_FAILOVER = "redis-cli -h old CLIENT PAUSE 10000 WRITE      #"
BY_A_FILE = "redis-cli -h old --rdb"
CONVERT = "kvarts convert dump.rdb old.rdb"
CHECK = "kvarts check dump.rdb"
BACKUP = "BACKUP START"
RESTORE = "mkdir -p /var/lib/new"

PROCEDURES = {
    MIGRATION: [FOLLOW, HAS_EVERYTHING, SWITCH, IS_OVER, WITHOUT_FAILOVER, BY_A_FILE, CONVERT],
    DURABILITY: [CHECK, CONVERT, BACKUP, RESTORE],
}


def lines_of(page: str, begin: str) -> list[str]:
    """The lines of the page's one block that begins so, without comments."""
    [block] = [lines for name, _, lines in all_blocks() if name == page and lines[0].strip().startswith(begin)]
    return [line.split(" # ")[0].strip() for line in block]


class Procedure(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kvarts-procedure-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.hosts: dict[str, int] = {}
        self.password = ""

    def place(self, path: str) -> pathlib.Path:
        """The folder here for one of the page."""
        folder = self.folder / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def redis_server(self, *flags: str) -> int:
        """A Redis server, and its port."""
        port, _ = two_free_ports()
        words = ["redis-server", "--port", str(port), "--dir", str(self.place("old")), "--repl-diskless-sync-delay", "0", *flags]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until("Redis answers", lambda: answers(port))
        return port

    def kvarts_server(self, line: str) -> KvartsServer:
        """The server that a line starts."""
        words = [self.here(word) for word in shlex.split(line)[1:]]
        at = words.index("--dir")
        directory = pathlib.Path(words[at + 1])
        directory.mkdir(parents=True, exist_ok=True)
        server = KvartsServer(*words[:at], *words[at + 2 :], directory=directory)
        self.addCleanup(server.stop)
        # One that wants a password says so while it loads, too.
        until("it has loaded its data", lambda: self.is_ready(server.port))
        return server

    def is_ready(self, port: int) -> bool:
        with redis.Redis("localhost", port, password=self.password or None) as client:
            try:
                return client.ping()
            except redis.BusyLoadingError:
                return False

    def run_line(self, line: str, within: str = "/") -> str:
        """Runs a line in a folder, and returns what it printed; it has to succeed."""
        words = [self.here(word) for word in shlex.split(line)]
        if words[0] == "kvarts":
            words[0] = os.environ["KVARTS_BIN"]
        elif words[0] == "redis-cli":
            host = words[words.index("-h") + 1]
            rest = words[3:]
            for at, word in enumerate(rest):
                if word in self.hosts and rest[at + 1 : at + 2] == ["6379"]:
                    rest[at : at + 2] = ["127.0.0.1", str(self.hosts[word])]
            words = ["redis-cli", "-p", str(self.hosts[host]), *rest]
        environment = os.environ | ({"REDISCLI_AUTH": self.password} if self.password else {})
        run = subprocess.run(words, cwd=self.place(within), env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, f"{line}\n{run.stdout}{run.stderr}")
        return run.stdout.strip()

    def here(self, word: str) -> str:
        return f"{self.folder}{word}" if word.startswith(("/var/lib/", "/backups/")) else word

    def client(self, host: str) -> redis.Redis:
        client = redis.Redis("localhost", self.hosts[host], password=self.password or None, decode_responses=True)
        self.addCleanup(client.close)
        return client

    def says(self, host: str, lines: list[str]) -> bool:
        info = self.run_line(f"redis-cli -h {host} INFO replication")
        return all(line.split("...,")[-1] in info for line in lines)

    def offsets_are_equal(self) -> bool:
        old, new = self.client("old").info("replication"), self.client("new").info("replication")
        return new["slave_repl_offset"] == old["master_repl_offset"]


class Migration(Procedure):
    def test_kvarts_takes_over(self):
        self.password = "secret"
        self.hosts["old"] = self.redis_server("--requirepass", "secret", "--save", "")
        self.client("old").set("kept", "yes")
        start, *follow = lines_of(MIGRATION, FOLLOW)
        self.hosts["new"] = self.kvarts_server(start).port
        for line in follow:
            self.assertEqual(self.run_line(line), "OK")
        expected = lines_of(MIGRATION, HAS_EVERYTHING)
        until("the new server has everything", lambda: self.says("new", expected) and self.offsets_are_equal())
        for line in lines_of(MIGRATION, SWITCH):
            self.assertEqual(self.run_line(line), "OK")
        for line in lines_of(MIGRATION, IS_OVER):
            host, *tokens = line.replace(":", " ", 1).split()
            until(line, lambda: self.says(host, tokens))
        self.assertEqual(self.client("new").get("kept"), "yes")
        self.client("new").set("after", "yes")
        until("the old server follows", lambda: self.client("old").get("after") == "yes")

    def test_without_failover(self):
        self.hosts["old"] = self.redis_server("--save", "")
        self.hosts["new"] = self.kvarts_server("kvarts --dir /var/lib/kvarts").port
        self.run_line("redis-cli -h new REPLICAOF old 6379")
        until("the new server has everything", lambda: self.says("new", lines_of(MIGRATION, HAS_EVERYTHING)))
        self.client("old").set("kept", "yes")
        pause, info, *switch = lines_of(MIGRATION, WITHOUT_FAILOVER)
        self.assertEqual(self.run_line(pause), "OK")
        self.assertIn("slave_repl_offset:", self.run_line(info))
        until("the offsets are equal", self.offsets_are_equal)
        for line in switch:
            self.assertEqual(self.run_line(line), "OK")
        self.assertEqual(self.client("new").get("kept"), "yes")
        self.client("new").set("after", "yes")
        until("the old server follows", lambda: self.client("old").get("after") == "yes")

    def test_by_a_file(self):
        self.hosts["old"] = self.redis_server("--save", "")
        self.client("old").set("kept", "yes")
        self.place("/var/lib/kvarts")
        copy, check, start = lines_of(MIGRATION, BY_A_FILE)
        self.run_line(copy)
        self.assertIn("string", self.run_line(check))
        self.hosts["new"] = self.kvarts_server(start).port
        self.assertEqual(self.client("new").get("kept"), "yes")
        self.client("new").bgsave()
        until("it is saved", lambda: self.client("new").info("persistence")["rdb_bgsave_in_progress"] == 0)
        [convert] = lines_of(MIGRATION, CONVERT)
        self.run_line(convert, "/var/lib/kvarts")
        self.assertTrue((self.place("/var/lib/kvarts") / "old.rdb").read_bytes().startswith(b"REDIS0010"))


class Durability(Procedure):
    def test_files_are_looked_through_and_converted(self):
        directory = self.place("/var/lib/kvarts")
        server = KvartsServer("--appendonly", "yes", directory=directory)
        self.hosts["here"] = server.port
        self.client("here").set("kept", "yes")
        self.client("here").save()
        server.stop(keep=True)
        for line in lines_of(DURABILITY, CHECK):
            self.assertNotEqual(self.run_line(line, "/var/lib/kvarts"), "")
        [convert] = lines_of(DURABILITY, CONVERT)
        self.run_line(convert, "/var/lib/kvarts")
        self.assertTrue((directory / "old.rdb").read_bytes().startswith(b"REDIS0009"))

    def test_a_backup_is_made_and_restored(self):
        server = KvartsServer()
        self.addCleanup(server.stop)
        self.hosts["here"] = server.port
        client = self.client("here")
        client.set("before", "yes")
        start, status, seal, files, cleanup = lines_of(DURABILITY, BACKUP)
        client.execute_command(*start.split())
        until("changes are written", lambda: "incrementing" in str(client.execute_command(*status.split())))
        client.set("while", "yes")
        client.execute_command(*seal.split())
        client.set("after", "yes")
        for file in client.execute_command(*files.split()):
            shutil.copy(file, self.place("/backups/today"))
        client.execute_command(*cleanup.split())
        copy, restart = lines_of(DURABILITY, RESTORE)
        self.place("/var/lib")
        copy = copy.replace("/var/lib", f"{self.folder}/var/lib").replace("/backups", f"{self.folder}/backups")
        subprocess.run(["bash", "-e", "-c", copy], check=True)
        self.hosts["new"] = self.kvarts_server(restart).port
        self.assertEqual(self.client("new").mget("before", "while", "after"), ["yes", "yes", None])


if __name__ == "__main__":
    unittest.main()

"""Every block of code in README and the documentation is run by a test, or is named here with the reason why none can.

Which test runs a block follows from its language and its page. Here are run: requests as redis-cli shows them, calls of the program and
of redis-cli, and Python."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

import redis

from pages import all_blocks
from test_procedures import PROCEDURES
from todo import ROOT, KvartsServer, services

# Languages whose blocks other tests run: the pages, and the test. `@ParameterizedTest` and its like name clients by their headings.
ELSEWHERE = {
    "redis": ("docs/recipes.md", "tests/it/docs.rs"),
    "java": ("README.md", "tests/clients/java/src/test/java/kvarts/clients/ReadmeTest.java"),
    "properties": ("README.md", "tests/clients/java/src/test/java/kvarts/clients/ReadmeTest.java"),
    "js": ("README.md", "tests/clients/node/test/readme.test.js"),
    "go": ("README.md", "tests/clients/go/readme_test.go"),
}

# Blocks that no test runs as they stand, by their page and how they begin, and why.
NOT_RUN = {
    ("README.md", "cargo run --release"): "builds the program; all suites run what `make build` has built",
    ("README.md", "docker build -t kvarts ."): "there is no container engine where the tests run",
    ("docs/console.md", "curl -H 'X-Kvarts-Console: 1'"): "tests/it/console.rs sends this request without curl",
    ("docs/migration.md", "closing the link of replica"): "lines of the log, not commands",
    ("docs/migration.md", "redis-cli -h old CLIENT PAUSE 10000 WRITE    #"): "no Sentinel runs here; tests/it/migration.rs sends these",
    ("examples/spring-session/README.md", "kvarts --profile"): "test_spring_session.py starts the same with the words of compose",
}


def not_run(page: str, lines: list[str]) -> tuple[str, str] | None:
    return next((key for key in NOT_RUN if key[0] == page and lines[0].strip().startswith(key[1])), None)


class Pages(unittest.TestCase):
    def test_every_block_is_run_or_there_is_a_reason(self):
        reasons = set()
        for page, language, lines in all_blocks():
            if reason := not_run(page, lines):
                reasons.add(reason)
            elif page in PROCEDURES:
                self.assertTrue(any(lines[0].strip().startswith(begin) for begin in PROCEDURES[page]), (page, lines[0]))
            elif language in ELSEWHERE and ELSEWHERE[language][0] == page:
                self.assertTrue((ROOT / ELSEWHERE[language][1]).exists())
            elif page == "docs/testing.md" and language in ("java", "yaml"):
                self.of_an_example(language, lines)
            else:
                with self.subTest(page=page, first=lines[0]):
                    self.run_block(lines, language)
        self.assertEqual(set(NOT_RUN) - reasons, set(), "there are no such blocks any more")

    def test_every_client_of_readme_is_run_by_its_test(self):
        """Tests name the clients whose blocks they run."""
        page = (ROOT / "README.md").read_text()
        for language in ("java", "js", "go"):
            test = (ROOT / ELSEWHERE[language][1]).read_text()
            for client in re.findall(rf"\n\*\*([\w-]+)\*\*\n\n```{language}\n", page):
                self.assertIn(client, test)
            self.assertEqual(
                len(re.findall(rf"\n```{language}\n", page)),
                len(re.findall(rf"\n\*\*[\w-]+\*\*\n\n```{language}\n", page)),
                "each has the name of its client above it",
            )

    def of_an_example(self, language: str, lines: list[str]):
        """A part of an example, which is tested as a whole."""
        examples = {"java": "testcontainers/**/*Test.java", "yaml": "github-actions.yml"}
        whole = "\n".join(file.read_text() for file in (ROOT / "examples").glob(examples[language]))
        # There it may have comments between its lines.
        there = "\n".join(line for line in whole.split("\n") if not line.strip().startswith("#"))
        self.assertIn("\n".join(lines), there)

    def run_block(self, lines: list[str], language: str):
        first = lines[0]
        if first.startswith("> "):
            self.conversation(lines)
        elif first.startswith("docker compose up"):
            self.services(lines)
        elif first == "make test":
            self.assertRegex((ROOT / "Makefile").read_text(), r"(?m)^test:")
        elif language == "python":
            self.python(lines)
        elif first.startswith("redis-cli"):
            self.shell(lines)
        elif first.startswith("kvarts tls export"):
            self.export(lines)
        elif first.startswith("kvarts "):
            self.start(lines)
        else:
            self.fail("no test runs this block")

    def services(self, lines: list[str]):
        for line in lines:
            names = line.split("#")[0].split()[3:]
            self.assertTrue(names)
            self.assertLessEqual(set(names), set(services()))

    def conversation(self, lines: list[str]):
        """Requests behind `> `, which go on until their quotes end, and what the server answers, but for a bare OK
        and for nothing."""
        server = self.serving("--protected-mode", "no")
        client = redis.Redis("localhost", server.port, decode_responses=True, socket_timeout=10, single_connection_client=True)
        self.addCleanup(client.close)
        request, told = "", []
        turns: list[tuple[list[str], list[str]]] = []
        for line in [*lines, "> "]:
            if line.startswith("> ") or (request and not told and not self.is_whole(request)):
                if line.startswith("> ") and request:
                    turns.append((shlex.split(request), told))
                    request, told = "", []
                request += ("\n" if request else "") + line.removeprefix("> ")
            else:
                told.append(line)
        self.assertTrue(turns)
        for words, told in turns:
            try:
                reply = client.execute_command(*words)
            except redis.RedisError as error:
                reply = str(error)
            # redis-py leaves the code of errors out where it has a class for it.
            if told:
                self.assertEqual(self.bare(told[0]).removeprefix("WRONGTYPE "), self.bare(str(reply)).removeprefix("WRONGTYPE "))
            else:
                self.assertIn(reply, (True, "OK", None), words)

    @staticmethod
    def bare(text: str) -> str:
        return text.removeprefix("NOPERM ").strip('"')

    @staticmethod
    def is_whole(request: str) -> bool:
        try:
            shlex.split(request)
        except ValueError:
            return False
        return True

    def python(self, lines: list[str]):
        for flags in (["--cluster-enabled", "yes"], ["--profile", "elasticache-serverless"]):
            server, folder = self.trusted(*flags)
            program = "\n".join(lines).replace("6379", str(server.port))
            run = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=30)
            self.assertEqual((run.stdout, run.returncode), ("ada\n", 0), run.stderr)

    def shell(self, lines: list[str]):
        """Calls of redis-cli, at another port: over TLS those of a cluster, else those that an operator makes."""
        is_tls = "--tls" in lines[0]
        flags = ["--cluster-enabled", "yes"] if is_tls else ["--enable-debug-command", "local"]
        server, folder = self.trusted(*flags)
        printed = []
        for line in lines:
            words = shlex.split(line, comments=True)
            if "-p" in words:
                words[words.index("-p") + 1] = str(server.port)
            else:
                words[1:1] = ["-p", str(server.port)]
            run = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=30)
            self.assertEqual((run.returncode, run.stderr), (0, ""), line)
            printed.append(run.stdout.strip())
        self.assertEqual(printed, ["OK", "ada"] if is_tls else ["OK"])

    def export(self, lines: list[str]):
        [line] = lines
        folder = self.folder()
        words = [os.environ["KVARTS_BIN"], *shlex.split(line)[1:]]
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=30)
        self.assertEqual({file.name for file in (folder / "certs").iterdir()}, {"ca.crt", "ca.p12", "server.crt", "server.key"})

    def start(self, lines: list[str]):
        """A start of the server: it takes these words, answers, and has made the report that it was to make."""
        [line] = lines
        words = shlex.split(line)[1:]
        folder = self.folder()
        for name in ("--port", "--dir"):
            if name in words:
                del words[words.index(name) : words.index(name) + 2]
        report = next((word for word in words if word.startswith("compat.")), None)
        if report:
            words[words.index(report)] = str(folder / report)
        KvartsServer(*words).stop()
        if report:
            self.assertTrue((folder / report).stat().st_size > 0)

    def trusted(self, *flags: str) -> tuple[KvartsServer, pathlib.Path]:
        """A server, and a folder in which `certs` has what its clients have to trust."""
        server, folder = self.serving(*flags), self.folder()
        (folder / "certs").mkdir()
        shutil.copy(server.ca_certificate(), folder / "certs" / "ca.crt")
        return server, folder

    def serving(self, *flags: str) -> KvartsServer:
        server = KvartsServer(*flags, tls="elasticache-serverless" in flags)
        self.addCleanup(server.stop)
        return server

    def folder(self) -> pathlib.Path:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="kvarts-pages-"))
        self.addCleanup(shutil.rmtree, folder)
        return folder


if __name__ == "__main__":
    unittest.main()

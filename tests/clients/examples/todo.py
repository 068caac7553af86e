"""The application of examples/spring-session, as the compose file starts it, and a browser for it."""

import http.cookiejar
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "clients" / "python"))

from kvarts_server import KvartsServer, until  # noqa: E402

# Of a JVM, on a machine with much to do.
START_LIMIT_S = 150
JAR = ROOT / "examples" / "spring-session" / "target" / "todo.jar"


def services() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


class Serverless:
    """The services `kvarts-serverless-trust` and `kvarts-serverless` of the compose file, with further flags, on other ports.
    Their folders are those of the containers: `data` and `trust`."""

    def __init__(self, *flags: str):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kvarts-examples-"))
        for name in ("data", "trust"):
            (self.folder / name).mkdir()
        trust = services()["kvarts-serverless-trust"]
        [script] = trust["command"]
        script = self._here(script).replace("kvarts tls", f"{os.environ['KVARTS_BIN']} tls")
        subprocess.run([*trust["entrypoint"], script], check=True, stdout=subprocess.DEVNULL)
        self.report = self.folder / "compat.json"
        command = [str(word) for word in services()["kvarts-serverless"]["command"]]
        self.server = KvartsServer(
            *command, "--compat-report", str(self.report), *flags, tls=True, directory=self.folder / "data"
        )

    @property
    def certificate(self) -> str:
        return str(self.folder / "trust" / "ca.crt")

    def stop(self) -> list[dict]:
        """Ends the server, and returns the findings of its report."""
        self.server.stop()
        findings = json.loads(self.report.read_text())["findings"]
        shutil.rmtree(self.folder)
        return findings

    def _here(self, text: str) -> str:
        """The text with the folders of this machine for those of a container."""
        return re.sub(r"(?<= )/(data|trust)\b", lambda found: f"{self.folder}/{found[1]}", text)


class Todo:
    """The service `todo`, which calls the server by the name that it has in the network of the compose file. Without `ready` it
    is one of which it is expected that it ends. It does not outlive the test."""

    def __init__(self, test: unittest.TestCase, serverless: Serverless, ready: bool = True, **properties: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = {
            name: value.replace("/trust/", f"{serverless.folder}/trust/").replace(":6379", f":{serverless.server.port}")
            for name, value in services()["todo"]["environment"].items()
        }
        # As long as a machine with much to do may need for an answer.
        patience = {"SPRING_DATA_REDIS_TIMEOUT": "60s", "SPRING_DATA_REDIS_CONNECT_TIMEOUT": "60s"}
        environment |= {"SERVER_PORT": str(self.port), **patience, **properties}
        host = environment["SPRING_DATA_REDIS_CLUSTER_NODES"].split(":")[0]
        hosts = serverless.folder / "hosts"
        hosts.write_text(f"127.0.0.1 {host}\n")
        self._log = serverless.folder / f"todo-{self.port}.log"
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Djdk.net.hosts.file={hosts}", "-jar", str(JAR)],
                env=os.environ | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        test.addCleanup(self.stop)
        if ready:
            try:
                until("the application answers", self._answers, START_LIMIT_S)
            except Exception:
                raise RuntimeError(f"the application did not start:\n{self.log()}") from None

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ended(self) -> int:
        """Waits until the application has ended by itself, and returns its exit status."""
        return self.process.wait(START_LIMIT_S)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"it ended with {self.process.returncode}")
        try:
            return Browser(self).get("/weather/start") != ""
        except OSError:
            return False


class Browser:
    """Somebody who uses the application, and keeps its cookies."""

    def __init__(self, todo: Todo):
        self.go_to(todo)
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)

    def go_to(self, todo: Todo) -> None:
        """From now on uses this instance of the application."""
        self._base = f"http://127.0.0.1:{todo.port}"

    def get(self, path: str) -> str:
        return self._text(urllib.request.Request(self._base + path))

    def post(self, path: str, **form: str) -> str:
        return self._text(urllib.request.Request(self._base + path, data=urllib.parse.urlencode(form).encode()))

    def todos(self) -> list[str]:
        return json.loads(self.get("/todos"))

    def _text(self, request: urllib.request.Request) -> str:
        with self._opener.open(request, timeout=20) as answer:
            return answer.read().decode()

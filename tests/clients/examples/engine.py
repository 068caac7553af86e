"""As much of a container engine as Testcontainers asks for, without containers: what would run in one is a process on this machine.
So an example of Testcontainers runs where there is no engine. Networks, images and isolation are not there.

Of a container 6379 and 6380 are other ports here, those of its process, whatever ports it asked for, and /data is its folder."""

import http.server
import io
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.parse
import uuid

from kvarts_server import two_free_ports


class Container:
    def __init__(self, wanted: dict):
        self.id = uuid.uuid4().hex * 2
        self.wanted = wanted
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kvarts-container-"))
        self.log = self.folder / "log"
        self.port, self.read_only_port = two_free_ports()
        self.process = None

    def start(self) -> None:
        ports = ["--port", str(self.port), "--read-only-port", str(self.read_only_port), "--dir", str(self.folder)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [os.environ["KVARTS_BIN"], *self.wanted["Cmd"], *ports], stdout=log, stderr=subprocess.STDOUT
            )

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        if self.is_running():
            self.process.terminate()
            self.process.wait(20)

    def shown(self) -> dict:
        own = {"6379/tcp": self.port, "6380/tcp": self.read_only_port}
        published = {name: [{"HostIp": "127.0.0.1", "HostPort": str(own[name])}] for name in self.wanted["ExposedPorts"]}
        state = {"Running": self.is_running(), "Status": "running" if self.is_running() else "exited", "ExitCode": 0}
        state |= {"Pid": self.process.pid if self.process else 0, "StartedAt": "2026-01-01T00:00:00Z", "Error": ""}
        return {
            "Id": self.id,
            "Name": f"/{self.id[:12]}",
            "Created": "2026-01-01T00:00:00Z",
            "Image": "kvarts",
            "Config": self.wanted,
            "State": state,
            "HostConfig": self.wanted.get("HostConfig", {}),
            "NetworkSettings": {"Ports": published, "Networks": {}},
        }


class Engine:
    """Listens on a free port for as long as it is used."""

    def __init__(self):
        self.containers: dict[str, Container] = {}
        self.unknown: list[str] = []
        engine = self

        class Handler(Answers):
            here = engine

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"tcp://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        for container in self.containers.values():
            container.stop()
            shutil.rmtree(container.folder)


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    here: Engine

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer("GET")

    def do_HEAD(self):
        self._answer("HEAD")

    def do_POST(self):
        self._answer("POST")

    def do_DELETE(self):
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        body = self._body()
        url = urllib.parse.urlparse(self.path)
        path = re.sub(r"^/v[\d.]+", "", url.path)
        query = urllib.parse.parse_qs(url.query)
        if path == "/_ping":
            return self._send(200, b"OK", "text/plain")
        if path in ("/info", "/version"):
            known = {"ServerVersion": "28.0", "Version": "28.0", "ApiVersion": "1.48", "OSType": "linux", "Os": "linux"}
            return self._json(200, known | {"OperatingSystem": "none", "Architecture": "x86_64", "MemTotal": 1 << 34})
        image = {"Id": "sha256:0", "RepoTags": ["kvarts:latest"]}
        if (method, path) == ("GET", "/images/json"):
            return self._json(200, [image | {"Created": 0}])
        if method == "GET" and path.startswith("/images/"):
            return self._json(200, image | {"Created": "2026-01-01T00:00:00Z"})
        if (method, path) == ("GET", "/containers/json"):
            return self._json(200, [])
        if method == "POST" and path == "/containers/create":
            container = Container(json.loads(body))
            self.here.containers[container.id] = container
            return self._json(201, {"Id": container.id, "Warnings": []})
        if found := re.fullmatch(r"/containers/(\w+)(/\w+)?", path):
            if container := self.here.containers.get(found[1]):
                return self._of(container, method, found[2] or "", query)
        self.here.unknown.append(f"{method} {self.path}")
        return self._json(404, {"message": f"not here: {path}"})

    def _of(self, container: Container, method: str, what: str, query: dict) -> None:
        match (method, what):
            case ("GET", "/json"):
                self._json(200, container.shown())
            case ("POST", "/start"):
                container.start()
                self._send(204)
            case ("POST", "/stop" | "/kill") | ("DELETE", ""):
                container.stop()
                self._send(204)
            case ("GET", "/logs"):
                self._follow(container)
            case ("GET", "/archive"):
                self._archive(container, query["path"][0])
            case _:
                self.here.unknown.append(f"{method} {self.path}")
                self._json(404, {"message": "not here"})

    def _follow(self, container: Container) -> None:
        """The log in frames, until the container has ended."""
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.raw-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with open(container.log, "rb") as log:
            try:
                while True:
                    runs = container.is_running()
                    if text := log.read():
                        self.wfile.write(struct.pack(">BxxxI", 1, len(text)) + text)
                        self.wfile.flush()
                    elif not runs:
                        return
                    time.sleep(0.02)
            except OSError:
                return

    def _archive(self, container: Container, path: str) -> None:
        file = container.folder / pathlib.PurePosixPath(path).relative_to("/data")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(file, arcname=file.name)
        self._send(200, archive.getvalue(), "application/x-tar")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _json(self, status: int, value: dict | list) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

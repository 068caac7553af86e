"""A real server for a test: the binary that KVARTS_BIN names, on free loopback ports, with a data directory of its own."""

import os
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

START_LIMIT_S = 30
STOP_LIMIT_S = 10
LOG_LINES_SHOWN = 40


class KvartsServer:
    """Starts on construction, answers on both ports by then, with `tls` over TLS; `stop` ends it, and removes the data
    directory, which may be one that is there already. A log that matters is in the error raised."""

    def __init__(self, *flags: str, tls: bool = False, directory: pathlib.Path | None = None):
        binary = os.environ.get("KVARTS_BIN")
        if not binary:
            raise RuntimeError("KVARTS_BIN must name the server's binary")
        self._tls = tls
        self.port, self.read_only_port = two_free_ports()
        self._directory = directory or pathlib.Path(tempfile.mkdtemp(prefix="kvarts-python-"))
        self._log = self._directory / "server.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [
                    binary,
                    *("--port", str(self.port)),
                    *("--read-only-port", str(self.read_only_port)),
                    *("--dir", str(self._directory)),
                    *flags,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until("the server answers on both ports", self._answers)
        except Exception as error:
            self._process.kill()
            self._process.wait()
            log_end = self.end_of_log()
            shutil.rmtree(self._directory)
            raise RuntimeError(f"the server did not start: {error}; the end of its log:\n{log_end}") from error

    def ca_certificate(self) -> str:
        """The path of the CA's PEM file. The server makes it when the first TLS client comes, so this is that client."""
        path = self._directory / "tls" / "ca.crt"
        if not path.exists():
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
                context.wrap_socket(plain, server_hostname="localhost").close()
            until(f"{path} is there", path.exists)
        return str(path)

    def kill(self) -> None:
        """Ends it at once, as a power cut would; `stop` is still to be called."""
        self._process.kill()
        self._process.wait()

    def stop(self, keep: bool = False) -> None:
        """Ends it; its data directory stays where it is to be kept."""
        self._process.terminate()
        try:
            self.exit_status = self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise RuntimeError(f"the server did not end when asked to; the end of its log:\n{self.end_of_log()}") from None
        finally:
            if not keep:
                shutil.rmtree(self._directory)

    def end_of_log(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the server ended with {self._process.returncode}")
        return answers(self.port, self._tls) and answers(self.read_only_port, self._tls)


def until(what: str, condition, limit_s: float = START_LIMIT_S) -> None:
    """Returns once the condition holds."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {limit_s} s: {what}")
        time.sleep(0.01)


def answers(port: int, tls: bool = False) -> bool:
    """Whether the server answers, to TLS without any verification or to a plain client; that it wants a password is an answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            if tls:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                with context.wrap_socket(connection, server_hostname="localhost") as encrypted:
                    return pongs(encrypted)
            return pongs(connection)
    except OSError:
        return False


def pongs(connection: socket.socket) -> bool:
    connection.sendall(b"PING\r\n")
    return connection.recv(64).startswith((b"+PONG\r\n", b"-NOAUTH "))


def ask(port: int, *words: str) -> str:
    """The reply's bytes as text: for looking, with none of the clients under test."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        request = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        connection.sendall(f"*{len(words)}\r\n{request}".encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def two_free_ports() -> list[int]:
    """Below the kernel's range for outgoing connections, so that no client takes them meanwhile; free at every address,
    as the server listens at all of them."""
    held: list[socket.socket] = []
    try:
        while len(held) < 2:
            candidate = socket.socket()
            try:
                candidate.bind(("0.0.0.0", random.randrange(20_000, 32_000)))
                held.append(candidate)
            except OSError:
                candidate.close()
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()

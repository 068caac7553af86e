"""examples/github-actions.yml as far as it can be tried without GitHub: it is YAML of the shape that workflows have, the service is found
well by its own health check, and the server of the other job starts with its words, is found well, and leaves the report behind."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

import redis
import yaml

from todo import ROOT, KvartsServer, until

# Not --health-cmd: it takes a shell, and the image has none.
DOCKER_OPTIONS = {"--health-interval", "--health-timeout", "--health-retries"}


def jobs() -> dict:
    # What YAML calls true is the key `on`.
    workflow = yaml.safe_load((ROOT / "examples" / "github-actions.yml").read_text())
    assert set(workflow) == {"name", True, "jobs"}, workflow.keys()
    return workflow["jobs"]


def kvarts(line: str, port: int, folder: pathlib.Path) -> subprocess.CompletedProcess:
    """Runs the binary for `kvarts` with the words behind it, at another port."""
    words = [os.environ["KVARTS_BIN"] if word == "kvarts" else word for word in shlex.split(line)]
    return subprocess.run([*words, "--port", str(port)], cwd=folder, capture_output=True, text=True, timeout=30)


class Workflow(unittest.TestCase):
    def folder(self) -> pathlib.Path:
        return pathlib.Path(tempfile.mkdtemp(prefix="kvarts-actions-"))

    def test_every_job_has_steps_that_use_or_run_something(self):
        for name, job in jobs().items():
            self.assertEqual(job["runs-on"], "ubuntu-latest", name)
            for step in job["steps"]:
                self.assertEqual(len({"uses", "run"} & step.keys()), 1, step)
                if "uses" in step:
                    self.assertRegex(step["uses"], r"^[\w-]+/[\w/-]+@v\d+$")
                else:
                    checked = subprocess.run(["bash", "-n", "-c", self.without_expressions(step["run"])], capture_output=True)
                    self.assertEqual((checked.returncode, checked.stderr), (0, b""))

    def test_the_service_is_found_well_by_the_check_of_the_image(self):
        service = jobs()["plain"]["services"]["kvarts"]
        self.assertEqual(service["ports"], ["6379:6379", "6380:6380"])
        words = shlex.split(service["options"])
        options = dict(zip(words[::2], words[1::2], strict=True))
        self.assertEqual(options.keys(), DOCKER_OPTIONS)
        for name in ("--health-interval", "--health-timeout"):
            self.assertRegex(options[name], r"^\d+s$")
        image = (ROOT / "Dockerfile").read_text().split("FROM scratch AS image")[1].split("\nFROM ")[0]
        [check] = re.findall(r"HEALTHCHECK .* CMD (\[.*\])", image)
        [program, *words] = json.loads(check)
        check = shlex.join([pathlib.PurePosixPath(program).name, *words])
        [command] = re.findall(r"\nCMD (\[.*\])", image)
        folder = self.folder()
        server = KvartsServer(*json.loads(command), directory=folder)
        try:
            until("it is found well", lambda: kvarts(check, server.port, folder).returncode == 0)
        finally:
            server.stop()
        self.assertNotEqual(kvarts(check, server.port, pathlib.Path("/")).returncode, 0)

    def test_the_server_with_a_profile_leaves_its_report(self):
        folder = self.folder()
        steps = jobs()["cloud"]["steps"]
        start = next(step["run"] for step in steps if step.get("name") == "Start the server")
        self.assertIn("--no-healthcheck", start)
        start = self.without_expressions(start).replace("\\\n", " ")
        [words] = re.findall(r"--publish 6380:6380 IMAGE (.*)", start)
        report = folder.parent / f"{folder.name}.sarif"
        self.addCleanup(report.unlink, missing_ok=True)
        flags = [word.replace("/data/compat.sarif", str(report)) for word in shlex.split(words)]
        server = KvartsServer(*flags, tls=True, directory=folder)
        try:
            [check] = re.findall(r"docker exec kvarts (kvarts .*?); do", start)
            until(check, lambda: kvarts(check, server.port, folder).returncode == 0)
            self.assertTrue((folder / "tls" / "ca.crt").exists())
            with redis.Redis(
                "localhost", server.port, ssl=True, ssl_ca_certs=str(folder / "tls" / "ca.crt"), socket_timeout=10
            ) as client:
                client.keys("*")
        finally:
            server.stop()
        self.assertEqual(server.exit_status, 1)
        results = json.loads(report.read_text())["runs"][0]["results"]
        self.assertEqual([result["ruleId"] for result in results], ["keys"])

    def without_expressions(self, text: str) -> str:
        return re.sub(r"\$\{\{ vars\.KVARTS_IMAGE \}\}", "IMAGE", text)


if __name__ == "__main__":
    unittest.main()

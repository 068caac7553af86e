"""examples/testcontainers, run with a stand-in for a container engine (engine.py)."""

import os
import subprocess
import unittest

from todo import ROOT
from engine import Engine  # noqa: E402 (todo.py has the folder of kvarts_server)

LIMIT_S = 300


class Testcontainers(unittest.TestCase):
    def test_its_tests_pass(self):
        with Engine() as engine:
            environment = {
                "DOCKER_HOST": engine.address,
                "TESTCONTAINERS_RYUK_DISABLED": "true",
                "TESTCONTAINERS_CHECKS_DISABLE": "true",
            }
            maven = ["mvn", "-B", "-f", str(ROOT / "examples" / "testcontainers" / "pom.xml"), "test"]
            run = subprocess.run(maven, env=os.environ | environment, capture_output=True, text=True, timeout=LIMIT_S)
            self.assertEqual(run.returncode, 0, run.stdout[-6000:] + "\n".join(engine.unknown))
            self.assertIn("Tests run: 3, Failures: 0, Errors: 0, Skipped: 0", run.stdout)
            images = {container.wanted["Image"] for container in engine.containers.values()}
        self.assertEqual(images, {"kvarts:latest"})


if __name__ == "__main__":
    unittest.main()

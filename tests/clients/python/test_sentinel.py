"""redis-py follows a failover by Sentinel; ../sentinel.py runs this and says how."""

import os
import pathlib
import time
import unittest

from redis.exceptions import RedisError
from redis.sentinel import Sentinel

from kvarts_server import until

NAME = "redis-py"
KEYS_BEFORE = 100
WRITES_AFTER = 50
LIMIT_S = 50
PAUSE_S = 0.005
# Longer than a machine with much to do is late; a primary that is killed closes its connections at once.
TIMEOUT_S = 10
WAIT_MS = 2_000


@unittest.skipUnless("KVARTS_SENTINELS" in os.environ, "../sentinel.py runs it")
class SentinelTest(unittest.TestCase):
    def setUp(self):
        self.reports = pathlib.Path(os.environ["KVARTS_REPORTS"])
        addresses = [address.split(":") for address in os.environ["KVARTS_SENTINELS"].split(",")]
        sentinel = Sentinel([(host, int(port)) for host, port in addresses], socket_timeout=TIMEOUT_S)
        self.primary = sentinel.master_for("mymaster", socket_timeout=TIMEOUT_S, decode_responses=True)
        self.replica = sentinel.slave_for("mymaster", socket_timeout=TIMEOUT_S, decode_responses=True)
        self.addCleanup(self.primary.close)
        self.addCleanup(self.replica.close)

    def test_it_follows(self):
        acknowledged = [f"{NAME}:before:{number}" for number in range(KEYS_BEFORE)]
        for key in acknowledged:
            self.assertEqual(self.write(key, 2), 2)
        self.reads_from_replica(acknowledged[-1])
        (self.reports / f"{NAME}.ready").touch()

        acknowledged += self.write_until_followed()
        lost = [key for key in acknowledged if self.primary.get(key) != key]
        self.assertEqual(lost, [])
        until("a replica has the last write", lambda: self.try_replica(acknowledged[-1]), LIMIT_S)
        (self.reports / f"{NAME}.done").touch()

    def write(self, key: str, replicas: int) -> int:
        """How many replicas have it, after waiting for so many of them."""
        both = self.primary.pipeline(transaction=False).set(key, key).wait(replicas, WAIT_MS)
        return both.execute()[1]

    def write_until_followed(self) -> list[str]:
        """Keys that every replica had which there was: both of them, and one once the primary was dead."""
        acknowledged, number, after, end = [], 0, 0, None
        while after < WRITES_AFTER:
            number += 1
            key = f"{NAME}:{number}"
            killed = self.killed()
            if killed:
                end = end or time.monotonic() + LIMIT_S
                self.assertLess(time.monotonic(), end, f"{after} writes to the new primary, {number} tries")
            needed = 1 if killed else 2
            try:
                is_acknowledged = self.write(key, needed) >= needed
                follows = killed and self.primary.info("server")["tcp_port"] != killed
            except RedisError:
                is_acknowledged = follows = False
            if is_acknowledged:
                acknowledged.append(key)
                after += bool(follows)
            time.sleep(PAUSE_S)
        return acknowledged

    def killed(self) -> int:
        """The port of the primary that was killed; 0 before."""
        try:
            return int((self.reports / "killed").read_text())
        except FileNotFoundError:
            return 0

    def reads_from_replica(self, key: str) -> None:
        self.assertEqual(self.replica.get(key), key)
        self.assertEqual(self.replica.info("replication")["role"], "slave")

    def try_replica(self, key: str) -> bool:
        try:
            return self.replica.get(key) == key and self.replica.info("replication")["role"] == "slave"
        except RedisError:
            return False

"""redis-py against the profile of a serverless endpoint: cluster mode over TLS, fully verified."""

import time
import unittest

import redis
from redis.cluster import LoadBalancingStrategy, RedisCluster

from kvarts_server import KvartsServer

TIMEOUT_S = 10


class Serverless(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = KvartsServer("--profile", "elasticache-serverless", tls=True)
        cls.addClassCleanup(cls.server.stop)

    def connect(self, **options) -> RedisCluster:
        client = RedisCluster(
            host="localhost",
            port=self.server.port,
            ssl=True,
            ssl_ca_certs=self.server.ca_certificate(),
            ssl_cert_reqs="required",
            ssl_check_hostname=True,
            decode_responses=True,
            socket_timeout=TIMEOUT_S,
            **options,
        )
        self.addCleanup(client.close)
        client.flushall(target_nodes=RedisCluster.PRIMARIES)
        return client

    def test_keys_of_many_slots(self):
        for protocol in (2, 3):
            with self.subTest(protocol=protocol):
                client = self.connect(protocol=protocol)
                for i in range(100):
                    self.assertTrue(client.set(f"key:{i}", i))
                self.assertEqual([client.get(f"key:{i}") for i in range(100)], [str(i) for i in range(100)])
                self.assertEqual(client.delete(*[f"key:{i}" for i in range(100)]), 100)

    def test_the_topology_is_one_host_name_with_two_ports(self):
        client = self.connect()
        # As the server tells it: redis-py itself calls localhost by its address.
        nodes = client.cluster_nodes()
        self.assertEqual(
            {address.split("@")[0] for address in nodes},
            {f"localhost:{self.server.port}", f"localhost:{self.server.read_only_port}"},
        )
        self.assertEqual([node.port for node in client.get_primaries()], [self.server.port])
        self.assertEqual([node.port for node in client.get_replicas()], [self.server.read_only_port])

    def test_reads_from_the_replica(self):
        client = self.connect(load_balancing_strategy=LoadBalancingStrategy.RANDOM_REPLICA)
        client.set("k", "v")
        self.assertEqual(client.get("k"), "v")

    def test_what_is_refused_there_is_refused_here(self):
        client = self.connect()
        with self.assertRaisesRegex(redis.ResponseError, "unknown command 'keys'"):
            client.keys("*", target_nodes=RedisCluster.PRIMARIES)
        with self.assertRaisesRegex(redis.ResponseError, "unknown command 'config'"):
            client.config_get("*", target_nodes=RedisCluster.PRIMARIES)
        with self.assertRaisesRegex(redis.ResponseError, "without any input keys"):
            client.eval("return 1", 0)

    def test_a_plain_client_gets_no_answer(self):
        begin = time.monotonic()
        with redis.Redis(port=self.server.port, socket_timeout=0.5, retry=None) as plain:
            with self.assertRaises(redis.TimeoutError):
                plain.ping()
        self.assertGreaterEqual(time.monotonic() - begin, 0.5)


class ServerlessWarns(unittest.TestCase):
    def test_what_would_be_refused_is_told(self):
        server = KvartsServer("--profile", "elasticache-serverless", "--profile-mode", "warn")
        self.addCleanup(server.stop)
        with redis.Redis(port=server.port, decode_responses=True, socket_timeout=TIMEOUT_S, client_name="app") as client:
            client.mset({"a:1": 1, "b:2": 2})
            self.assertEqual(sorted(client.keys("*")), ["a:1", "b:2"])
            report = client.execute_command("KVARTS COMPAT")
        report = report if isinstance(report, dict) else dict(zip(report[::2], report[1::2]))
        found = [one if isinstance(one, dict) else dict(zip(one[::2], one[1::2])) for one in report["findings"]]
        told = {(one["rule"], one["command"], one["keys"], one["client"]) for one in found}
        self.assertIn(("keys", "keys", "*", "app"), told)
        self.assertIn(("cross-slot", "mset", "a:* b:*", "app"), told)
        self.assertTrue(all("redis-py" in one["library"] for one in found if one["command"]))


if __name__ == "__main__":
    unittest.main()

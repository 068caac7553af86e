"""redis-py against a real server: one node, cluster mode, TLS."""

import unittest

import redis
from redis.cluster import LoadBalancingStrategy, RedisCluster

from kvarts_server import KvartsServer, until

TIMEOUT_S = 10


def next_message(subscriber) -> dict:
    """The next message that is not a confirmation."""
    seen: list[dict] = []

    def arrived() -> bool:
        message = subscriber.get_message(ignore_subscribe_messages=True, timeout=0.1)
        if message is not None:
            seen.append(message)
        return bool(seen)

    until("a message arrives", arrived, TIMEOUT_S)
    return seen[0]


def confirmed(subscriber, kind: str) -> None:
    """Waits for the server's confirmation of a subscription, which is always the next thing to arrive."""
    message = subscriber.get_message(timeout=TIMEOUT_S)
    if message is None or message["type"] != kind:
        raise AssertionError(f"{message} is no {kind}")


class OneServer:
    """The tests of one node; the two classes below run them in each protocol version."""

    protocol: int

    @classmethod
    def setUpClass(cls):
        cls.server = KvartsServer()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.redis = redis.Redis(
            port=self.server.port, protocol=self.protocol, decode_responses=True, socket_timeout=TIMEOUT_S
        )
        self.addCleanup(self.redis.close)
        self.redis.flushall()

    def test_the_protocol_is_the_one_asked_for(self):
        hello = self.redis.execute_command("CLIENT INFO")
        text = hello if isinstance(hello, str) else " ".join(f"{k}={v}" for k, v in hello.items())
        self.assertIn(f"resp={self.protocol}", text)

    def test_strings(self):
        self.assertTrue(self.redis.ping())
        self.assertTrue(self.redis.set("text", "blåbær", px=60_000))
        self.assertEqual(self.redis.get("text"), "blåbær")
        self.assertIsNone(self.redis.get("nothing"))
        self.assertGreater(self.redis.pttl("text"), 0)
        self.assertIsNone(self.redis.set("text", "no", nx=True))
        self.assertEqual(self.redis.incrby("number", 42), 42)
        self.assertTrue(self.redis.mset({"a": "1", "b": "2"}))
        self.assertEqual(self.redis.mget("a", "b", "c"), ["1", "2", None])
        self.assertEqual(self.redis.delete("a", "b", "c"), 2)

    def test_any_bytes(self):
        with redis.Redis(port=self.server.port, protocol=self.protocol) as raw:
            value = bytes(range(256)) * 1000
            raw.set(b"\x00\r\n\xff", value)
            self.assertEqual(raw.get(b"\x00\r\n\xff"), value)

    def test_collections(self):
        self.assertEqual(self.redis.hset("hash", mapping={"a": "1", "b": "2"}), 2)
        self.assertEqual(self.redis.hgetall("hash"), {"a": "1", "b": "2"})
        self.assertEqual(self.redis.sadd("set", "x", "y", "x"), 2)
        self.assertEqual(set(self.redis.smembers("set")), {"x", "y"})
        self.assertEqual(self.redis.rpush("list", "1", "2", "3"), 3)
        self.assertEqual(self.redis.lrange("list", 0, -1), ["1", "2", "3"])
        self.assertEqual(self.redis.zadd("zset", {"low": 1, "high": 2.5}), 2)
        self.assertEqual(self.redis.zscore("zset", "high"), 2.5)
        pairs = self.redis.zrange("zset", 0, -1, withscores=True)
        self.assertEqual([tuple(pair) for pair in pairs], [("low", 1.0), ("high", 2.5)])

    def test_an_error_is_raised(self):
        self.redis.set("text", "no number")
        with self.assertRaisesRegex(redis.ResponseError, "value is not an integer or out of range"):
            self.redis.incr("text")
        with self.assertRaisesRegex(redis.ResponseError, "unknown command"):
            self.redis.execute_command("NO-SUCH-COMMAND")

    def test_a_pipeline_answers_in_order(self):
        pipeline = self.redis.pipeline(transaction=False)
        for _ in range(1_000):
            pipeline.incr("counter")
        self.assertEqual(pipeline.execute(), list(range(1, 1_001)))

    def test_a_scan_sees_every_key(self):
        expected = {f"scan:{i}" for i in range(300)}
        pipeline = self.redis.pipeline(transaction=False)
        for key in expected:
            pipeline.set(key, "").set("other:" + key, "")
        pipeline.execute()
        self.assertEqual(set(self.redis.scan_iter(match="scan:*", count=50)), expected)

    def test_messages_arrive(self):
        with self.redis.pubsub() as subscriber:
            subscriber.subscribe("news")
            confirmed(subscriber, "subscribe")
            subscriber.psubscribe("wea*")
            confirmed(subscriber, "psubscribe")
            self.assertEqual(self.redis.publish("news", "one"), 1)
            message = next_message(subscriber)
            self.assertEqual((message["type"], message["channel"], message["data"]), ("message", "news", "one"))
            self.assertEqual(self.redis.publish("weather", "rain"), 1)
            message = next_message(subscriber)
            self.assertEqual((message["type"], message["pattern"], message["channel"]), ("pmessage", "wea*", "weather"))
            subscriber.unsubscribe("news")
            confirmed(subscriber, "unsubscribe")
            self.assertEqual(self.redis.publish("news", "two"), 0)


class Resp2(OneServer, unittest.TestCase):
    protocol = 2


class Resp3(OneServer, unittest.TestCase):
    protocol = 3


class Cluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = KvartsServer("--cluster-enabled", "yes")
        cls.addClassCleanup(cls.server.stop)

    def connect(self, **options) -> RedisCluster:
        client = RedisCluster(
            host="localhost", port=self.server.port, decode_responses=True, socket_timeout=TIMEOUT_S, **options
        )
        self.addCleanup(client.close)
        client.flushall(target_nodes=RedisCluster.PRIMARIES)
        return client

    def use(self, client: RedisCluster) -> None:
        for i in range(100):
            self.assertTrue(client.set(f"key:{i}", i))
        self.assertEqual([client.get(f"key:{i}") for i in range(100)], [str(i) for i in range(100)])
        self.assertTrue(client.mset_nonatomic({f"key:{i}": i + 1 for i in range(100)}))
        self.assertEqual(client.dbsize(target_nodes=RedisCluster.PRIMARIES), 100)
        self.assertEqual(client.delete(*[f"key:{i}" for i in range(100)]), 100)

    def test_keys_of_many_slots(self):
        for protocol in (2, 3):
            with self.subTest(protocol=protocol):
                self.use(self.connect(protocol=protocol))

    def test_the_topology(self):
        client = self.connect()
        self.assertEqual([node.port for node in client.get_primaries()], [self.server.port])
        self.assertEqual([node.port for node in client.get_replicas()], [self.server.read_only_port])

    def test_a_pipeline_spans_slots(self):
        pipeline = self.connect().pipeline()
        for i in range(500):
            pipeline.incr(f"counter:{i % 50}")
        self.assertEqual(pipeline.execute(), [i // 50 + 1 for i in range(500)])

    def test_reads_from_replicas(self):
        client = self.connect(load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN_REPLICAS)
        client.set("k", "v")
        until("the key is read", lambda: client.get("k") == "v", TIMEOUT_S)

    def test_messages_arrive(self):
        client = self.connect()
        with client.pubsub() as subscriber:
            subscriber.subscribe("news")
            confirmed(subscriber, "subscribe")
            client.publish("news", "one")
            self.assertEqual(next_message(subscriber)["data"], "one")

    def test_shard_messages_arrive(self):
        client = self.connect()
        with client.pubsub() as subscriber:
            subscriber.ssubscribe("orders")
            seen = []

            def arrived() -> bool:
                message = subscriber.get_sharded_message(timeout=0.1)
                if message is not None:
                    seen.append(message)
                return bool(seen)

            until("the confirmation arrives", arrived, TIMEOUT_S)
            self.assertEqual(seen.pop()["type"], "ssubscribe")
            self.assertEqual(client.spublish("orders", "two"), 1)
            until("the message arrives", arrived, TIMEOUT_S)
            self.assertEqual((seen[0]["type"], seen[0]["data"]), ("smessage", "two"))

    def test_the_same_over_tls_with_full_verification(self):
        client = self.connect(ssl=True, ssl_ca_certs=self.server.ca_certificate(), ssl_check_hostname=True)
        self.use(client)


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = KvartsServer()
        cls.addClassCleanup(cls.server.stop)

    def connect(self, host: str, **options) -> redis.Redis:
        client = redis.Redis(
            host=host, port=self.server.port, ssl=True, decode_responses=True, socket_timeout=TIMEOUT_S, **options
        )
        self.addCleanup(client.close)
        return client

    def test_the_ca_is_all_that_must_be_trusted(self):
        authority = self.server.ca_certificate()
        for host in ("localhost", "127.0.0.1"):
            with self.subTest(host=host):
                client = self.connect(host, ssl_ca_certs=authority, ssl_check_hostname=True)
                big = "x" * 1_000_000
                self.assertTrue(client.set("big", big))
                self.assertEqual(client.get("big"), big)

    def test_a_client_that_does_not_know_the_ca_refuses(self):
        with self.assertRaisesRegex(redis.ConnectionError, "CERTIFICATE_VERIFY_FAILED"):
            self.connect("localhost", ssl_check_hostname=True).ping()

    def test_plain_and_tls_share_the_port_and_the_data(self):
        self.connect("localhost", ssl_ca_certs=self.server.ca_certificate()).set("shared", "yes")
        with redis.Redis(port=self.server.port, decode_responses=True) as plain:
            self.assertEqual(plain.get("shared"), "yes")


if __name__ == "__main__":
    unittest.main()

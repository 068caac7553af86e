"""redis-py where clients meet: transactions, scripts, locks, blocking commands, streams with a group."""

import threading
import unittest

import redis
from redis.exceptions import LockError, LockNotOwnedError, NoScriptError, WatchError

from kvarts_server import KvartsServer, until

TIMEOUT_S = 10


class OneServer:
    """The tests; the two classes below run them in each protocol version."""

    protocol: int

    @classmethod
    def setUpClass(cls):
        cls.server = KvartsServer()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.redis = self.connect()
        self.redis.flushall()
        self.redis.script_flush()

    def connect(self) -> redis.Redis:
        client = redis.Redis(
            port=self.server.port, protocol=self.protocol, decode_responses=True, socket_timeout=TIMEOUT_S
        )
        self.addCleanup(client.close)
        return client

    def run_beside(self, action) -> "Beside":
        beside = Beside(action)
        self.addCleanup(beside.join, TIMEOUT_S)
        return beside

    def await_blocked(self, count: int = 1) -> None:
        until(f"{count} blocked", lambda: self.redis.info("clients")["blocked_clients"] == count, TIMEOUT_S)

    # Transactions.

    def test_a_transaction(self):
        with self.redis.pipeline() as transaction:
            transaction.watch("k")
            transaction.multi()
            transaction.set("k", "v").get("k")
            self.assertEqual(transaction.execute(), [True, "v"])

    def test_a_watched_key_that_changes_stops_the_transaction(self):
        with self.redis.pipeline() as transaction:
            transaction.watch("k")
            self.redis.set("k", "changed")
            transaction.multi()
            transaction.set("k", "mine")
            with self.assertRaises(WatchError):
                transaction.execute()
        self.assertEqual(self.redis.get("k"), "changed")

    def test_a_key_no_longer_watched_stops_nothing(self):
        with self.redis.pipeline() as transaction:
            transaction.watch("k")
            self.redis.set("k", "changed")
            transaction.unwatch()
            transaction.multi()
            transaction.set("k", "mine")
            self.assertEqual(transaction.execute(), [True])

    def test_a_failing_command_fails_alone(self):
        with self.redis.pipeline() as transaction:
            transaction.set("k", "no number").incr("k").get("k")
            replies = transaction.execute(raise_on_error=False)
        self.assertEqual((replies[0], replies[2]), (True, "no number"))
        self.assertIsInstance(replies[1], redis.ResponseError)

    def test_a_refused_command_stops_the_transaction(self):
        with self.redis.pipeline() as transaction:
            transaction.set("k", "v")
            transaction.execute_command("NO-SUCH-COMMAND")
            with self.assertRaisesRegex(redis.ResponseError, "unknown command"):
                transaction.execute()
        self.assertEqual(self.redis.exists("k"), 0)

    def test_increments_by_four_clients_under_watch_are_all_counted(self):
        def increment(transaction):
            value = int(transaction.get("count") or 0)
            transaction.multi()
            transaction.set("count", value + 1)

        def client():
            own = self.connect()
            for _ in range(25):
                own.transaction(increment, "count")

        for beside in [self.run_beside(client) for _ in range(4)]:
            beside.result()
        self.assertEqual(self.redis.get("count"), "100")

    # Scripts.

    def test_a_registered_script(self):
        add = self.redis.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        with self.assertRaises(NoScriptError):
            self.redis.evalsha(add.sha, 1, "count", 1)
        self.assertEqual(add(keys=["count"], args=[40]), 40)
        self.assertEqual(self.redis.evalsha(add.sha, 1, "count", 2), 42)
        self.assertEqual(self.redis.script_exists(add.sha, "0" * 40), [True, False])
        self.redis.script_flush()
        self.assertEqual(add(keys=["count"], args=[1]), 43)

    def test_a_registered_script_in_a_pipeline_and_in_a_transaction(self):
        add = self.redis.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        for transaction in (False, True):
            with self.subTest(transaction=transaction), self.redis.pipeline(transaction=transaction) as pipeline:
                pipeline.set("count", 1)
                add(keys=["count"], args=[2], client=pipeline)
                pipeline.get("count")
                self.assertEqual(pipeline.execute(), [True, 3, "3"])

    def test_what_a_script_returns(self):
        script = "return {1, 'two', false, {3.9, redis.status_reply('FOUR')}, cjson.encode({five = 5})}"
        self.assertEqual(self.redis.eval(script, 0), [1, "two", None, [3, "FOUR"], '{"five":5}'])
        packed = "return cmsgpack.pack(cmsgpack.unpack(ARGV[1])) == ARGV[1] and bit.band(7, 12)"
        self.assertEqual(self.redis.eval(packed, 0, "\x05"), 4)
        self.assertEqual(self.redis.eval("return struct.unpack('>I2', struct.pack('>I2', 515))", 0), 515)
        with self.assertRaisesRegex(redis.ResponseError, "^MINE it is"):
            self.redis.eval("return redis.error_reply('MINE it is')", 0)
        with self.assertRaisesRegex(redis.ResponseError, "(?i)write commands are not allowed"):
            self.redis.eval_ro("return redis.call('SET', KEYS[1], 'v')", 1, "k")

    def test_a_function(self):
        code = """#!lua name=mine
            redis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)
            redis.register_function{function_name = 'look', flags = {'no-writes'},
                                    callback = function(keys) return redis.call('GET', keys[1]) end}"""
        self.addCleanup(self.redis.function_flush)
        self.assertEqual(self.redis.function_load(code), "mine")
        with self.assertRaisesRegex(redis.ResponseError, "Library 'mine' already exists"):
            self.redis.function_load(code)
        self.assertEqual(self.redis.function_load(code, replace=True), "mine")
        self.assertEqual(self.redis.fcall("add", 1, "count", 42), 42)
        self.assertEqual(self.redis.fcall_ro("look", 1, "count"), "42")
        with self.assertRaises(redis.ResponseError):
            self.redis.fcall_ro("add", 1, "count", 42)
        kept = self.connect_bytes().function_dump()
        self.redis.function_delete("mine")
        self.assertEqual(self.redis.function_list(), [])
        self.connect_bytes().function_restore(kept)
        self.assertEqual(self.redis.fcall_ro("look", 1, "count"), "42")

    def connect_bytes(self) -> redis.Redis:
        client = redis.Redis(port=self.server.port, protocol=self.protocol, socket_timeout=TIMEOUT_S)
        self.addCleanup(client.close)
        return client

    # Locks.

    def test_a_lock_is_held_by_one(self):
        mine, theirs = self.redis.lock("job", timeout=TIMEOUT_S), self.connect().lock("job", timeout=TIMEOUT_S)
        self.assertTrue(mine.acquire(blocking=False))
        self.assertTrue(mine.locked() and mine.owned())
        self.assertFalse(theirs.acquire(blocking=False))
        self.assertFalse(theirs.acquire(blocking_timeout=0.05))
        with self.assertRaises(LockError):
            theirs.release()
        mine.release()
        self.assertTrue(theirs.acquire(blocking=False))
        theirs.release()
        self.assertFalse(mine.locked())

    def test_a_lock_that_waits_gets_it_on_release(self):
        mine = self.redis.lock("job", timeout=TIMEOUT_S)
        self.assertTrue(mine.acquire())
        theirs = self.connect().lock("job", timeout=TIMEOUT_S, sleep=0.01, thread_local=False)
        waiting = self.run_beside(lambda: theirs.acquire(blocking_timeout=TIMEOUT_S))
        mine.release()
        self.assertTrue(waiting.result())
        self.assertTrue(theirs.owned())
        theirs.release()

    def test_a_lock_may_be_kept_longer(self):
        mine = self.redis.lock("job", timeout=5)
        self.assertTrue(mine.acquire())
        self.assertTrue(mine.extend(60))
        self.assertGreater(self.redis.pttl("job"), 60_000)
        self.assertTrue(mine.extend(30, replace_ttl=True))
        self.assertLessEqual(self.redis.pttl("job"), 30_000)
        self.assertTrue(mine.reacquire())
        self.assertLessEqual(self.redis.pttl("job"), 5_000)
        mine.release()

    def test_a_lock_whose_time_is_up_is_lost(self):
        mine = self.redis.lock("job", timeout=0.02)
        self.assertTrue(mine.acquire())
        until("the lock is gone", lambda: not mine.locked(), TIMEOUT_S)
        with self.redis.lock("job", timeout=TIMEOUT_S):
            with self.assertRaises(LockNotOwnedError):
                mine.release()

    def test_a_lock_guards_what_four_clients_do(self):
        def client():
            own = self.connect()
            for _ in range(10):
                with own.lock("guard", timeout=TIMEOUT_S, sleep=0.001):
                    own.set("count", int(own.get("count") or 0) + 1)

        for beside in [self.run_beside(client) for _ in range(4)]:
            beside.result()
        self.assertEqual(self.redis.get("count"), "40")

    # Blocking commands.

    def test_a_blocking_pop_waits_for_a_push(self):
        waiting = self.run_beside(lambda: self.connect().blpop(["first", "second"], timeout=TIMEOUT_S))
        self.await_blocked()
        self.assertEqual(self.redis.rpush("second", "job"), 1)
        self.assertEqual(list(waiting.result()), ["second", "job"])
        self.assertEqual(self.redis.exists("second"), 0)

    def test_blocking_commands_end_when_their_time_is_up(self):
        self.assertIsNone(self.redis.blpop("k", timeout=0.02))
        self.assertIsNone(self.redis.brpop("k", timeout=0.02))
        self.assertIsNone(self.redis.blmove("k", "l", 0.02))
        self.assertIsNone(self.redis.brpoplpush("k", "l", 0.02))
        self.assertIsNone(self.redis.blmpop(0.02, 1, "k", direction="LEFT"))
        self.assertIsNone(self.redis.bzpopmin("k", timeout=0.02))
        self.assertIsNone(self.redis.bzpopmax("k", timeout=0.02))
        self.assertIsNone(self.redis.bzmpop(0.02, 1, "k", min=True))
        self.assertFalse(self.redis.xread({"k": "$"}, block=20))

    def test_blocking_commands_that_find_something_do_not_wait(self):
        self.redis.rpush("list", *"abcdef")
        self.redis.zadd("zset", {"one": 1, "two": 2, "three": 3})
        self.assertEqual(list(self.redis.blpop("list", timeout=0)), ["list", "a"])
        self.assertEqual(list(self.redis.brpop("list", timeout=0)), ["list", "f"])
        self.assertEqual(self.redis.blmove("list", "done", 0), "b")
        self.assertEqual(self.redis.blmpop(0, 1, "list", direction="RIGHT", count=2), ["list", ["e", "d"]])
        self.assertEqual(list(self.redis.bzpopmin("zset", timeout=0)), ["zset", "one", 1.0])
        self.assertEqual(list(self.redis.bzpopmax("zset", timeout=0)), ["zset", "three", 3.0])

    def test_who_waits_longest_is_served_first(self):
        first = self.run_beside(lambda: self.connect().blpop("queue", timeout=TIMEOUT_S))
        self.await_blocked(1)
        second = self.run_beside(lambda: self.connect().blmove("queue", "done", TIMEOUT_S))
        self.await_blocked(2)
        self.redis.rpush("queue", "one", "two")
        self.assertEqual(list(first.result()), ["queue", "one"])
        self.assertEqual(second.result(), "two")
        self.assertEqual(self.redis.lrange("done", 0, -1), ["two"])

    def test_a_push_in_a_transaction_wakes_after_it(self):
        waiting = self.run_beside(lambda: self.connect().blpop("queue", timeout=TIMEOUT_S))
        self.await_blocked()
        with self.redis.pipeline() as transaction:
            transaction.rpush("queue", "one").rpush("queue", "two").lpop("queue")
            self.assertEqual(transaction.execute(), [1, 2, "one"])
        self.assertEqual(list(waiting.result()), ["queue", "two"])

    def test_a_blocked_client_can_be_let_go(self):
        client = self.connect()
        identity = client.client_id()
        waiting = self.run_beside(lambda: client.blpop("queue", timeout=TIMEOUT_S))
        self.await_blocked()
        blocked = next(one["id"] for one in self.redis.client_list() if "b" in one["flags"])
        self.assertEqual(int(blocked), identity)
        self.assertTrue(self.redis.client_unblock(identity, error=True))
        with self.assertRaisesRegex(redis.ResponseError, "UNBLOCKED"):
            waiting.result()

    # Streams.

    def test_a_group_shares_a_stream_and_what_one_leaves_another_claims(self):
        self.assertTrue(self.redis.xgroup_create("orders", "shop", id="0", mkstream=True))
        waiting = self.run_beside(
            lambda: self.connect().xreadgroup("shop", "anna", {"orders": ">"}, count=1, block=TIMEOUT_S * 1000)
        )
        self.await_blocked()
        first = self.redis.xadd("orders", {"item": "tea"})
        self.assertEqual(entries(waiting.result()), [(first, {"item": "tea"})])
        second = self.redis.xadd("orders", {"item": "milk"})
        taken = self.redis.xreadgroup("shop", "bert", {"orders": ">"})
        self.assertEqual(entries(taken), [(second, {"item": "milk"})])
        pending = self.redis.xpending("orders", "shop")
        self.assertEqual((pending["pending"], pending["min"], pending["max"]), (2, first, second))
        self.assertEqual(self.redis.xack("orders", "shop", second), 1)
        claimed = self.redis.xautoclaim("orders", "shop", "bert", 0)
        self.assertEqual([(id, fields) for id, fields in claimed[1]], [(first, {"item": "tea"})])
        [entry] = self.redis.xpending_range("orders", "shop", "-", "+", 10)
        self.assertEqual((entry["message_id"], entry["consumer"], entry["times_delivered"]), (first, "bert", 2))
        self.assertEqual(self.redis.xack("orders", "shop", first), 1)
        self.assertEqual(self.redis.xpending("orders", "shop")["pending"], 0)


def entries(reply) -> list:
    """The entries of a reply about the one stream "orders": a list of pairs in RESP2, a map in RESP3."""
    if isinstance(reply, dict):
        found = reply["orders"]
        # The map's value is a list of lists of entries.
        found = found[0] if found and isinstance(found[0], list) else found
    else:
        [[_, found]] = reply
    return [(id, fields) for id, fields in found]


class Beside:
    """An action in a thread of its own, and what came of it."""

    def __init__(self, action):
        self._action = action
        self._outcome = None
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._action()
        except Exception as error:
            self._error = error

    def join(self, limit_s: float) -> None:
        self._thread.join(limit_s)

    def result(self):
        self.join(3 * TIMEOUT_S)
        if self._thread.is_alive():
            raise TimeoutError("the thread did not end")
        if self._error is not None:
            raise self._error
        return self._outcome


class Resp2(OneServer, unittest.TestCase):
    protocol = 2


class Resp3(OneServer, unittest.TestCase):
    protocol = 3


if __name__ == "__main__":
    unittest.main()

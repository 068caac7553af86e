"""redis-py with user names and passwords: what its ACL methods send and read, and what a user is refused."""

import unittest

import redis

from kvarts_server import KvartsServer

TIMEOUT_S = 10


class Users(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = KvartsServer()
        cls.addClassCleanup(cls.server.stop)
        with redis.Redis(port=cls.server.port, socket_timeout=TIMEOUT_S) as first:
            first.config_set("requirepass", "admin secret")

    def connect(self, **options) -> redis.Redis:
        client = redis.Redis(
            port=self.server.port, decode_responses=True, socket_timeout=TIMEOUT_S, **options
        )
        self.addCleanup(client.close)
        return client

    def setUp(self):
        self.admin = self.connect(password="admin secret")
        self.admin.acl_deluser("reports")
        self.admin.acl_log_reset()
        self.admin.acl_setuser(
            "reports",
            enabled=True,
            passwords=["+secret"],
            keys=["report:*"],
            channels=["report:*"],
            categories=["+@read", "+@connection"],
            commands=["+publish"],
        )

    def test_a_password_is_needed(self):
        with self.assertRaises(redis.AuthenticationError):
            self.connect().get("report:1")
        with self.assertRaises(redis.AuthenticationError):
            self.connect(username="reports", password="wrong").ping()

    def test_a_user_may_do_what_its_rules_say(self):
        for protocol in (2, 3):
            reports = self.connect(username="reports", password="secret", protocol=protocol)
            self.admin.set("report:1", "done")
            self.assertEqual(reports.get("report:1"), "done")
            self.assertEqual(reports.publish("report:1", "hello"), 0)
            for refused in (
                lambda: reports.set("report:1", "x"),
                lambda: reports.get("other"),
                lambda: reports.publish("other", "hello"),
            ):
                with self.assertRaises(redis.exceptions.NoPermissionError):
                    refused()

    def test_users_are_described(self):
        user = self.admin.acl_getuser("reports")
        self.assertEqual(user["flags"], ["on"])
        self.assertEqual(user["categories"], ["-@all", "+@read", "+@connection"])
        self.assertEqual(user["commands"], ["+publish"])
        self.assertEqual(len(user["passwords"]), 1)
        self.assertNotIn("secret", user["passwords"][0])
        self.assertEqual(sorted(self.admin.acl_users()), ["default", "reports"])
        self.assertEqual(self.admin.acl_whoami(), "default")
        self.assertIn("get", self.admin.acl_cat("read"))
        self.assertEqual(len(self.admin.acl_genpass(128)), 32)

    def test_refusals_are_logged(self):
        reports = self.connect(username="reports", password="secret")
        with self.assertRaises(redis.exceptions.NoPermissionError):
            reports.get("other")
        entry = self.admin.acl_log()[0]
        self.assertEqual((entry["reason"], entry["object"], entry["username"]), ("key", "other", "reports"))
        self.assertEqual(entry["client-info"]["user"], "reports")

    def test_a_deleted_user_is_cut(self):
        reports = self.connect(username="reports", password="secret", retry=None)
        self.assertTrue(reports.ping())
        self.assertEqual(self.admin.acl_deluser("reports"), 1)
        with self.assertRaises((redis.ConnectionError, redis.AuthenticationError)):
            reports.ping()


if __name__ == "__main__":
    unittest.main()

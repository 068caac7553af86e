"""examples/spring-session against the serverless profile: with the plain repository, with the indexed one, which fails as in the
cloud, and with it where the profile only warns."""

import concurrent.futures
import unittest
import urllib.error

import redis

from todo import Browser, Serverless, Todo, until

INDEXED = {"SPRING_SESSION_REDIS_REPOSITORY_TYPE": "indexed"}
HALF_AN_HOUR_MS = 30 * 60 * 1000
# The name of the client with which the test itself looks into the server.
LOOKING = "looking"


def told(findings: list[dict]) -> list[tuple[str, str]]:
    """The rules and commands of findings."""
    return sorted((one["rule"], one["command"]) for one in findings)


class PlainRepository(unittest.TestCase):
    def test_the_application_does_what_it_is_for(self):
        serverless = Serverless()
        try:
            todo = Todo(self, serverless)
            try:
                self.sessions(todo)
                self.cache(todo)
                self.lock(todo)
                self.instances(serverless, todo)
            finally:
                todo.stop()
        finally:
            findings = serverless.stop()
        self.assertEqual(findings, [])

    def sessions(self, todo: Todo):
        ada, grace = Browser(todo), Browser(todo)
        ada.post("/todos", item="milk & <bread>")
        self.assertIn("milk &amp; &lt;bread&gt;", ada.post("/todos", item="stamps"))
        grace.post("/todos", item="compiler")
        self.assertEqual(ada.todos(), ["milk & <bread>", "stamps"])
        self.assertEqual(grace.todos(), ["compiler"])
        ada.post("/todos/done", item="milk & <bread>")
        self.assertEqual(ada.todos(), ["stamps"])
        ada.post("/logout")
        self.assertEqual((ada.todos(), grace.todos()), ([], ["compiler"]))

    def cache(self, todo: Todo):
        browser = Browser(todo)
        first = browser.get("/weather/Turku")
        self.assertIn("Fair in Turku", first)
        self.assertEqual(browser.get("/weather/Turku"), first)
        renewed = browser.post("/weather/Turku")
        self.assertNotEqual(renewed, first)
        self.assertEqual(browser.get("/weather/Turku"), renewed)

    def lock(self, todo: Todo):
        def renew(_):
            try:
                return Browser(todo).post("/weather/Oulu").startswith("Fair")
            except urllib.error.HTTPError as error:
                return error.code

        # One renews and the others are turned away, unless they come so late that it is over.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(renew, range(8)))
        self.assertLessEqual(set(answers), {True, 409})
        self.assertIn(409, answers)
        # The lock was given back.
        self.assertTrue(renew(None))

    def instances(self, serverless: Serverless, todo: Todo):
        """Two instances of the application share their sessions."""
        browser = Browser(todo)
        browser.post("/todos", item="shared")
        other = Todo(self, serverless)
        try:
            browser.go_to(other)
            self.assertEqual(browser.todos(), ["shared"])
        finally:
            other.stop()


class IndexedRepository(unittest.TestCase):
    def test_it_fails_as_in_the_cloud(self):
        serverless = Serverless()
        try:
            whole = Todo(self, serverless, ready=False, **INDEXED)
            without_config = Todo(self, serverless, ready=False, SPRING_SESSION_REDIS_CONFIGURE_ACTION="none", **INDEXED)
            self.assertNotEqual(whole.ended(), 0)
            self.assertIn("ERR unknown command 'config'", whole.log())
            self.assertNotEqual(without_config.ended(), 0)
            self.assertIn("ERR unknown command 'psubscribe'", without_config.log())
        finally:
            findings = serverless.stop()
        refused = [("config", "config|get"), ("pattern-subscriptions", "psubscribe"), ("pattern-subscriptions", "punsubscribe")]
        self.assertEqual(told(findings), refused)

    def test_where_the_profile_warns_it_works_and_its_findings_are_reported(self):
        serverless = Serverless("--profile-mode", "warn", "--enable-debug-command", "local")
        try:
            todo = Todo(self, serverless, **INDEXED)
            try:
                self.ends(serverless, todo)
            finally:
                todo.stop()
        finally:
            findings = serverless.stop()
        by_the_test = [one for one in findings if one["client"] == LOOKING]
        self.assertEqual(told(by_the_test), [("client-management", "client|list")])
        findings = [one for one in findings if one["client"] != LOOKING]
        self.assertTrue(all(one["library"].startswith("Lettuce") and one["fix"] for one in findings), findings)
        expected = [
            ("config", "config|get"),
            ("config", "config|set"),
            ("keyspace-events", "subscribe"),
            ("pattern-subscriptions", "psubscribe"),
            ("pattern-subscriptions", "punsubscribe"),
        ]
        self.assertEqual(told(findings), expected)

    def ends(self, serverless: Serverless, todo: Todo):
        """A session of half an hour, and one that its user leaves, are told to the listener; reads went to the second port."""
        port = serverless.server.port
        ada, grace = Browser(todo), Browser(todo)
        ada.post("/todos", item="stamps")
        grace.post("/todos", item="compiler")
        self.assertEqual(ada.todos(), ["stamps"])
        with self.looking(serverless, serverless.server.read_only_port) as there:
            reading = [one for one in there.client_list() if one["cmd"] == "hgetall" and "r" in one["flags"]]
            self.assertTrue(reading, there.client_list())
        grace.post("/logout")
        with self.looking(serverless, port) as looking:
            until("the logout is told", lambda: "SessionDeletedEvent with [compiler] to do" in Browser(todo).get("/ended"))
            looking.execute_command("KVARTS", "CLOCK", "ADVANCE", HALF_AN_HOUR_MS)
            until("the end is told", lambda: "SessionExpiredEvent with [stamps] to do" in Browser(todo).get("/ended"))

    def looking(self, serverless: Serverless, port: int) -> redis.Redis:
        return redis.Redis(
            "localhost", port, ssl=True, ssl_ca_certs=serverless.certificate, client_name=LOOKING, decode_responses=True
        )


if __name__ == "__main__":
    unittest.main()

package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.springframework.context.ConfigurableApplicationContext;

/** HTTP sessions in one server, by host and port: Spring Boot's defaults. */
class PlainSessionTest {

    private static final String KEY = "spring:session:sessions:";

    private static KvartsServer server;
    private static ConfigurableApplicationContext application;

    private Browser browser;

    @BeforeAll
    static void start() {
        server = KvartsServer.standalone("plain-session");
        application = Applications.start(Map.of(
                "spring.data.redis.host", "localhost",
                "spring.data.redis.port", Integer.toString(server.port())));
    }

    @AfterAll
    static void stop() {
        try (KvartsServer closing = server) {
            if (application != null) {
                application.close();
            }
        }
    }

    @BeforeEach
    void openBrowser() {
        browser = new Browser(application);
    }

    @Test
    void aValueStoredByOneRequestIsReadByTheNext() {
        browser.post("/value?value=first");
        assertEquals("first", browser.get("/value"));

        browser.post("/value?value=second");
        assertEquals("second", browser.get("/value"));
    }

    @Test
    void anotherBrowserHasAnotherSession() {
        String id = browser.post("/value?value=mine");
        Browser other = new Browser(application);
        assertEquals("none", other.get("/value"));
        assertNotEquals(id, other.post("/value?value=theirs"));
        assertEquals("mine", browser.get("/value"));
    }

    @Test
    void theSessionIsAHashWithATimeToLive() {
        String id = browser.post("/value?value=seen");
        try (RawClient raw = server.raw()) {
            assertEquals("hash", raw.call("TYPE", KEY + id));
            List<String> fields = raw.callList("HKEYS", KEY + id);
            assertTrue(fields.containsAll(List.of(
                    "creationTime", "lastAccessedTime", "maxInactiveInterval", "sessionAttr:value")), fields::toString);
            long ttlMs = raw.callLong("PTTL", KEY + id);
            assertTrue(ttlMs > 1_740_000 && ttlMs <= 1_800_000, () -> "30 minutes are " + ttlMs + " ms");
        }
    }

    @Test
    void everyRequestRenewsTheTimeToLive() {
        String id = browser.post("/value?value=renewed");
        try (RawClient raw = server.raw()) {
            assertEquals(1L, raw.call("PEXPIRE", KEY + id, "60000"));
            browser.get("/value");
            assertTrue(raw.callLong("PTTL", KEY + id) > 1_740_000);
        }
    }

    @Test
    void aLoginChangesTheIdAndKeepsTheValues() {
        String before = browser.post("/value?value=kept");
        String after = browser.post("/login?user=ada");
        assertNotEquals(before, after);
        assertEquals("kept", browser.get("/value"));
        try (RawClient raw = server.raw()) {
            assertEquals(0L, raw.call("EXISTS", KEY + before));
            assertEquals(1L, raw.call("EXISTS", KEY + after));
        }
    }

    @Test
    void aLogoutRemovesTheSession() {
        String id = browser.post("/value?value=gone");
        browser.post("/logout");
        assertEquals("none", browser.get("/value"));
        try (RawClient raw = server.raw()) {
            assertEquals(0L, raw.call("EXISTS", KEY + id));
        }
    }

    @Test
    void aSessionRemovedOnTheServerIsGoneForTheUser() {
        String id = browser.post("/value?value=evicted");
        try (RawClient raw = server.raw()) {
            assertEquals(1L, raw.call("DEL", KEY + id));
        }
        assertEquals("none", browser.get("/value"));
    }
}

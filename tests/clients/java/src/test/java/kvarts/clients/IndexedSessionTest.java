package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.springframework.context.ApplicationListener;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.data.redis.listener.RedisMessageListenerContainer;
import org.springframework.session.FindByIndexNameSessionRepository;
import org.springframework.session.Session;
import org.springframework.session.data.redis.RedisIndexedSessionRepository;
import org.springframework.session.events.AbstractSessionEvent;
import org.springframework.session.events.SessionCreatedEvent;
import org.springframework.session.events.SessionDeletedEvent;
import org.springframework.session.events.SessionExpiredEvent;

/**
 * The indexed session repository: it finds sessions by their principal and tells the application of each session's start
 * and end, the end by the server's keyspace events.
 */
class IndexedSessionTest {

    private static final String KEY = "spring:session:sessions:";
    private static final String SHADOW_KEY = "spring:session:sessions:expires:";
    private static final Duration EVENT_LIMIT = Duration.ofSeconds(10);
    private static final int SESSIONS = 5;
    /** Not a divisor of a second, so that the sessions' ends fall into different phases of any clock of the server. */
    private static final Duration BETWEEN_SESSIONS = Duration.ofMillis(137);
    private static final long LAG_LIMIT_MS = 100;

    private static final Events EVENTS = new Events();

    private static KvartsServer server;
    private static ConfigurableApplicationContext application;
    private static RedisIndexedSessionRepository repository;

    @BeforeAll
    static void start() {
        server = KvartsServer.withMovableClock("indexed-session");
        application = Applications.start(
                Map.of(
                        "spring.data.redis.host", "localhost",
                        "spring.data.redis.port", Integer.toString(server.port()),
                        "spring.session.redis.repository-type", "indexed"),
                EVENTS);
        repository = assertInstanceOf(
                RedisIndexedSessionRepository.class, application.getBean(FindByIndexNameSessionRepository.class));
        RedisMessageListenerContainer container = application.getBean(RedisMessageListenerContainer.class);
        Await.until("the application listens", EVENT_LIMIT, container::isListening);
    }

    @AfterAll
    static void stop() {
        try (KvartsServer closing = server) {
            if (application != null) {
                application.close();
            }
        }
    }

    @Test
    void theRepositorySwitchesKeyspaceEventsOn() {
        try (RawClient raw = server.raw()) {
            String flags = raw.callList("CONFIG", "GET", "notify-keyspace-events").get(1);
            for (String flag : List.of("E", "g", "x")) {
                assertTrue(flags.contains(flag) || (flags.contains("A") && !flag.equals("E")), () -> "flags are " + flags);
            }
        }
    }

    @Test
    void sessionsAreFoundByPrincipalUntilTheirLogout() {
        Browser laptop = new Browser(application);
        Browser phone = new Browser(application);
        String onLaptop = laptop.post("/login?user=grace");
        String onPhone = phone.post("/login?user=grace");
        new Browser(application).post("/login?user=someone-else");
        assertEquals(Set.of(onLaptop, onPhone), repository.findByPrincipalName("grace").keySet());

        phone.post("/logout");
        assertEquals(Set.of(onLaptop), repository.findByPrincipalName("grace").keySet());
        laptop.post("/logout");
        assertEquals(Map.of(), repository.findByPrincipalName("grace"));
    }

    @Test
    void aNewSessionIsTold() {
        String id = new Browser(application).post("/value?value=new");
        EVENTS.await(SessionCreatedEvent.class, id);
    }

    @Test
    void aLogoutIsTold() {
        Browser browser = new Browser(application);
        String id = browser.post("/value?value=short");
        browser.post("/logout");
        EVENTS.await(SessionDeletedEvent.class, id);
        try (RawClient raw = server.raw()) {
            assertEquals(0L, raw.call("EXISTS", SHADOW_KEY + id));
        }
    }

    /** The expired event carries the session's last state, so the hash must outlive the key whose expiry is told. */
    @Test
    void anExpiredSessionIsToldWithItsValues() {
        Session session = newSession("last words");
        Event expired = EVENTS.await(SessionExpiredEvent.class, session.getId());
        assertEquals("last words", expired.value());
        try (RawClient raw = server.raw()) {
            assertEquals(0L, raw.call("EXISTS", SHADOW_KEY + session.getId()));
            assertEquals(1L, raw.call("EXISTS", KEY + session.getId()));
        }
    }

    /**
     * From the instant at which the server says the key ends to the event in the application. The median of several, so
     * that a pause of the machine fails nothing and a server that looks only now and then does fail.
     */
    @Test
    void theEndOfASessionIsToldWithinATenthOfASecond() {
        EVENTS.await(SessionExpiredEvent.class, newSession("loads the classes").getId());

        List<Session> sessions = new ArrayList<>();
        List<Long> ends = new ArrayList<>();
        try (RawClient raw = server.raw()) {
            for (int i = 0; i < SESSIONS; i++) {
                Session session = newSession("timed");
                long endMs = raw.callLong("PEXPIRETIME", SHADOW_KEY + session.getId());
                assertTrue(endMs > 0, () -> "PEXPIRETIME answers " + endMs);
                sessions.add(session);
                ends.add(endMs);
                LockSupport.parkNanos(BETWEEN_SESSIONS.toNanos());
            }
        }
        List<Long> lagsMs = new ArrayList<>();
        for (int i = 0; i < SESSIONS; i++) {
            Event expired = EVENTS.await(SessionExpiredEvent.class, sessions.get(i).getId());
            lagsMs.add(expired.atMs() - ends.get(i));
        }
        System.out.println("Session expired events came this many ms after the end: " + lagsMs);
        assertTrue(lagsMs.stream().allMatch(lag -> lag >= 0), () -> "none may come early: " + lagsMs);
        long median = lagsMs.stream().sorted().toList().get(SESSIONS / 2);
        assertTrue(median <= LAG_LIMIT_MS, () -> "the median is above " + LAG_LIMIT_MS + " ms: " + lagsMs);
    }

    /** The server's clock is moved by half an hour: the session ends at once, and the application hears of it. */
    @Test
    void aSessionOfHalfAnHourEndsWhenTheClockIsMoved() {
        Duration lasts = Duration.ofMinutes(30);
        RedisIndexedSessionRepository.RedisSession session = repository.createSession();
        session.setAttribute("value", "long");
        session.setMaxInactiveInterval(lasts);
        repository.save(session);
        try (RawClient raw = server.raw()) {
            assertTrue(raw.callLong("PTTL", SHADOW_KEY + session.getId()) > lasts.toMillis() / 2);
            try {
                assertEquals("OK", raw.call("KVARTS", "CLOCK", "ADVANCE", Long.toString(lasts.toMillis())));
                assertEquals(0L, raw.call("EXISTS", SHADOW_KEY + session.getId()));
                assertEquals("long", EVENTS.await(SessionExpiredEvent.class, session.getId()).value());
            } finally {
                raw.call("KVARTS", "CLOCK", "SET", Long.toString(System.currentTimeMillis()));
            }
        }
    }

    /** A saved session that ends one second after it is saved. */
    private static Session newSession(String value) {
        return saveNew(repository, value);
    }

    private static <S extends Session> S saveNew(FindByIndexNameSessionRepository<S> repository, String value) {
        S session = repository.createSession();
        session.setAttribute("value", value);
        session.setMaxInactiveInterval(Duration.ofSeconds(1));
        repository.save(session);
        return session;
    }

    /** An event, when it came, and the value its session had. */
    private record Event(long atMs, Object value) {}

    /** Every session event of the application, by its kind and its session. */
    private static final class Events implements ApplicationListener<AbstractSessionEvent> {

        private final Map<String, Event> seen = new ConcurrentHashMap<>();

        @Override
        public void onApplicationEvent(AbstractSessionEvent event) {
            long atMs = System.currentTimeMillis();
            Session session = event.getSession();
            Object value = session == null ? null : session.getAttribute("value");
            seen.put(key(event.getClass(), event.getSessionId()), new Event(atMs, value));
        }

        Event await(Class<? extends AbstractSessionEvent> kind, String id) {
            Await.until(kind.getSimpleName() + " for " + id, EVENT_LIMIT, () -> seen.containsKey(key(kind, id)));
            Event event = seen.get(key(kind, id));
            assertNotNull(event);
            return event;
        }

        private static String key(Class<?> kind, String id) {
            return kind.getSimpleName() + " " + id;
        }
    }
}

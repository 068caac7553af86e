package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.data.redis.RedisConnectionFailureException;
import org.springframework.data.redis.connection.RedisConnectionFactory;

/**
 * HTTP sessions as against a managed cluster: TLS with full verification, cluster topology, a read endpoint on a second
 * port. The only CA that is trusted is the one the server made.
 */
class TlsClusterSessionTest {

    private static final String KEY = "spring:session:sessions:";

    @AutoClose
    private static KvartsServer server;

    @BeforeAll
    static void start() {
        server = KvartsServer.cluster("tls-cluster-session");
    }

    @Test
    void sessionsWorkWhenThePemFileIsTrusted() {
        try (ConfigurableApplicationContext application = Applications.start(cluster(trustPem()))) {
            // Now, because the application's start sets up logging anew; Lettuce connects with the first request.
            ListAppender<ILoggingEvent> warnings = captureWarnings("io.lettuce");
            useASession(new Browser(application));
            assertEquals(List.of(), warnings.list.stream().map(ILoggingEvent::getFormattedMessage).toList(),
                    "Lettuce warns of nodes that it cannot reach");
        }
    }

    @Test
    void sessionsWorkWhenThePkcs12StoreIsTrusted() {
        Map<String, String> trust = Map.of(
                "spring.ssl.bundle.jks.kvarts.truststore.type", "PKCS12",
                "spring.ssl.bundle.jks.kvarts.truststore.location", "file:" + server.caTrustStore(),
                "spring.ssl.bundle.jks.kvarts.truststore.password", KvartsServer.TRUST_STORE_PASSWORD);
        try (ConfigurableApplicationContext application = Applications.start(cluster(trust))) {
            useASession(new Browser(application));
        }
    }

    /** Without this the tests above would pass with no verification at all. */
    @Test
    void aClientThatDoesNotKnowTheCaRefusesTheServer() {
        Map<String, String> properties = cluster(Map.of());
        properties.remove("spring.data.redis.ssl.bundle");
        properties.put("logging.level.io.lettuce", "off");
        try (ConfigurableApplicationContext application = Applications.start(properties)) {
            RedisConnectionFactory connections = application.getBean(RedisConnectionFactory.class);
            Throwable refused = assertThrows(RedisConnectionFailureException.class,
                    () -> connections.getConnection().ping());
            assertTrue(causes(refused).contains("PKIX path building failed"), () -> causes(refused));
        }
    }

    @Test
    void thePeriodicTopologyRefreshGoesOn() {
        Map<String, String> properties = cluster(trustPem());
        properties.put("spring.data.redis.lettuce.cluster.refresh.period", "100ms");
        // One more refresh is usually under way when the application closes, and is complained of.
        properties.put("logging.level.io.lettuce", "off");
        properties.put("logging.level.io.netty", "off");
        try (ConfigurableApplicationContext application = Applications.start(properties);
                RawClient raw = server.raw()) {
            Browser browser = new Browser(application);
            browser.post("/value?value=before");
            long seen = clusterNodesCalls(raw);
            Await.until("ten more CLUSTER NODES", Duration.ofSeconds(20), () -> clusterNodesCalls(raw) >= seen + 10);
            assertEquals("before", browser.get("/value"));
        }
    }

    @Test
    void readsGoToTheReadOnlyPortWhenReplicasArePreferred() {
        Map<String, String> properties = cluster(trustPem());
        properties.put("spring.data.redis.lettuce.read-from", "replica-preferred");
        try (ConfigurableApplicationContext application = Applications.start(properties);
                RawClient raw = RawClient.tls(server.readOnlyPort())) {
            assertEquals(List.of(), connectionsThatRead(raw));
            useASession(new Browser(application));
            assertNotEquals(List.of(), connectionsThatRead(raw), () -> "of " + raw.call("CLIENT", "LIST"));
        }
    }

    /** The whole life of a session; the server's side is looked at without TLS, on the same port. */
    private static void useASession(Browser browser) {
        String before = browser.post("/value?value=kept");
        assertEquals("kept", browser.get("/value"));
        String after = browser.post("/login?user=ada");
        assertNotEquals(before, after);
        assertEquals("kept", browser.get("/value"));
        try (RawClient raw = server.raw()) {
            assertEquals(0L, raw.call("EXISTS", KEY + before));
            assertEquals("hash", raw.call("TYPE", KEY + after));
            long ttlMs = raw.callLong("PTTL", KEY + after);
            assertTrue(ttlMs > 1_740_000 && ttlMs <= 1_800_000, () -> "30 minutes are " + ttlMs + " ms");
            browser.post("/logout");
            assertEquals("none", browser.get("/value"));
            assertEquals(0L, raw.call("EXISTS", KEY + after));
        }
    }

    /** What a team that deploys to a managed cluster writes into its application.properties. */
    private static Map<String, String> cluster(Map<String, String> trust) {
        Map<String, String> properties = new HashMap<>(trust);
        properties.put("spring.data.redis.cluster.nodes", "localhost:" + server.port());
        properties.put("spring.data.redis.ssl.enabled", "true");
        properties.put("spring.data.redis.ssl.bundle", "kvarts");
        properties.put("spring.data.redis.lettuce.cluster.refresh.adaptive", "true");
        properties.put("spring.data.redis.lettuce.cluster.refresh.period", "1s");
        return properties;
    }

    private static Map<String, String> trustPem() {
        return Map.of("spring.ssl.bundle.pem.kvarts.truststore.certificate", "file:" + server.caCertificate());
    }

    /**
     * The connections to the address that the given one has at its server's end which are in READONLY mode and whose
     * last command was the session's HGETALL.
     */
    private static List<String> connectionsThatRead(RawClient raw) {
        String here = field(raw.callString("CLIENT", "INFO"), "laddr");
        return Arrays.stream(raw.callString("CLIENT", "LIST").split("\n"))
                .filter(line -> field(line, "laddr").equals(here))
                .filter(line -> field(line, "flags").contains("r"))
                .filter(line -> field(line, "cmd").equals("hgetall"))
                .toList();
    }

    private static String field(String line, String name) {
        Matcher matcher = Pattern.compile("(?:^| )" + name + "=(\\S*)").matcher(line);
        assertTrue(matcher.find(), () -> "no " + name + " in: " + line);
        return matcher.group(1);
    }

    private static long clusterNodesCalls(RawClient raw) {
        Matcher calls = Pattern.compile("cmdstat_cluster\\|nodes:calls=(\\d+)").matcher(raw.callString("INFO", "commandstats"));
        return calls.find() ? Long.parseLong(calls.group(1)) : 0;
    }

    private static ListAppender<ILoggingEvent> captureWarnings(String logger) {
        ListAppender<ILoggingEvent> appender = new ListAppender<>() {
            @Override
            protected void append(ILoggingEvent event) {
                if (event.getLevel().isGreaterOrEqual(Level.WARN)) {
                    super.append(event);
                }
            }
        };
        appender.start();
        ((Logger) LoggerFactory.getLogger(logger)).addAppender(appender);
        return appender;
    }

    private static String causes(Throwable failure) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            text.append(cause).append('\n');
        }
        return text.toString();
    }
}

package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * Spring Session under the profile of a serverless endpoint: what runs there runs here, what does not fails here as there,
 * and is told in a report where the profile only warns.
 */
class ServerlessSessionTest {

    @Test
    void theRepositoryWithoutIndexRuns() {
        try (KvartsServer server = KvartsServer.serverless("serverless-session");
                ConfigurableApplicationContext application = Applications.start(properties(server, "default"))) {
            useASession(application);
            assertEquals(Set.of(), rules(server));
        }
    }

    @Test
    void theIndexedRepositoryFailsAtTheStart() {
        try (KvartsServer server = KvartsServer.serverless("serverless-indexed")) {
            Map<String, String> properties = properties(server, "indexed");
            properties.put("logging.level.root", "off");
            Throwable failure = assertThrows(Throwable.class, () -> Applications.start(properties).close());
            StringBuilder causes = new StringBuilder();
            for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
                causes.append(cause).append('\n');
            }
            assertTrue(causes.toString().contains("ERR unknown command 'config'"), causes::toString);
        }
    }

    @Test
    void theIndexedRepositoryRunsWhereTheProfileWarnsAndItsFindingsAreTold() {
        try (KvartsServer server = KvartsServer.serverless("serverless-warns", "--profile-mode", "warn");
                ConfigurableApplicationContext application = Applications.start(properties(server, "indexed"))) {
            useASession(application);
            Set<String> rules = rules(server);
            assertTrue(rules.containsAll(Set.of("config", "pattern-subscriptions", "keyspace-events")), rules::toString);
        }
    }

    private static void useASession(ConfigurableApplicationContext application) {
        Browser browser = new Browser(application);
        String before = browser.post("/value?value=kept");
        assertEquals("kept", browser.get("/value"));
        String after = browser.post("/login?user=ada");
        assertNotEquals(before, after);
        assertEquals("kept", browser.get("/value"));
        browser.post("/logout");
        assertEquals("none", browser.get("/value"));
    }

    private static Map<String, String> properties(KvartsServer server, String repository) {
        Map<String, String> properties = new HashMap<>();
        properties.put("spring.session.redis.repository-type", repository);
        properties.put("spring.data.redis.cluster.nodes", "localhost:" + server.port());
        properties.put("spring.data.redis.ssl.enabled", "true");
        properties.put("spring.data.redis.ssl.bundle", "kvarts");
        properties.put("spring.ssl.bundle.pem.kvarts.truststore.certificate", "file:" + server.caCertificate());
        properties.put("spring.data.redis.lettuce.cluster.refresh.adaptive", "true");
        return properties;
    }

    /** The names of the rules that KVARTS COMPAT tells of, without that of connections that speak no TLS. */
    private static Set<String> rules(KvartsServer server) {
        try (RawClient raw = RawClient.tls(server.port())) {
            Set<String> rules = new TreeSet<>();
            List<?> report = (List<?>) raw.call("KVARTS", "COMPAT");
            for (Object finding : (List<?>) report.get(report.indexOf("findings") + 1)) {
                List<?> fields = (List<?>) finding;
                rules.add((String) fields.get(fields.indexOf("rule") + 1));
            }
            rules.remove("plain-connection");
            return rules;
        }
    }
}

package kvarts.examples.visits;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.test.context.DynamicPropertyRegistry;
import org.springframework.test.context.DynamicPropertySource;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.wait.strategy.Wait;
import org.testcontainers.junit.jupiter.Container;
import org.testcontainers.junit.jupiter.Testcontainers;

/** The same as against a serverless endpoint: a cluster client over TLS that reads from the second port. */
@SpringBootTest
@Testcontainers
class ServerlessTest {

    @TempDir
    static Path folder;

    /** Clients of a cluster go to the ports that they are told, so these must be the same outside. */
    @Container
    static final GenericContainer<?> KVARTS = new GenericContainer<>("kvarts")
            .withCommand("--protected-mode", "no", "--profile", "elasticache-serverless", "--cluster-announce-hostname", "localhost")
            .withExposedPorts(6379, 6380)
            .waitingFor(Wait.forLogMessage(".*Ready to accept connections.*\\n", 1));

    static {
        KVARTS.setPortBindings(List.of("127.0.0.1:6379:6379", "127.0.0.1:6380:6380"));
    }

    @DynamicPropertySource
    static void properties(DynamicPropertyRegistry registry) {
        Path authority = folder.resolve("ca.crt");
        KVARTS.copyFileFromContainer("/data/tls/ca.crt", authority.toString());
        registry.add("spring.data.redis.cluster.nodes", () -> List.of("localhost:" + KVARTS.getMappedPort(6379)));
        registry.add("spring.data.redis.ssl.enabled", () -> true);
        registry.add("spring.data.redis.ssl.bundle", () -> "kvarts");
        registry.add("spring.ssl.bundle.pem.kvarts.truststore.certificate", () -> "file:" + authority);
        registry.add("spring.data.redis.lettuce.read-from", () -> "replica-preferred");
    }

    @Autowired
    private Visits visits;

    @Test
    void visitsAreCounted() {
        assertEquals(1, visits.count("news"));
        assertEquals(2, visits.count("news"));
    }
}

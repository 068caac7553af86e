package kvarts.examples.visits;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.testcontainers.service.connection.ServiceConnection;
import org.springframework.data.redis.connection.RedisConnection;
import org.springframework.data.redis.core.RedisCallback;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.wait.strategy.Wait;
import org.testcontainers.junit.jupiter.Container;
import org.testcontainers.junit.jupiter.Testcontainers;

/** A plain server. Spring Boot connects to it by itself, and a day passes in no time. */
@SpringBootTest
@Testcontainers
class PlainTest {

    /** By the name of the image Spring Boot could not tell what it is for, so the annotation says it. */
    @Container
    @ServiceConnection(name = "redis")
    static final GenericContainer<?> KVARTS = new GenericContainer<>("kvarts")
            .withCommand("--protected-mode", "no", "--enable-debug-command", "yes")
            .withExposedPorts(6379)
            .waitingFor(Wait.forLogMessage(".*Ready to accept connections.*\\n", 1));

    @Autowired
    private Visits visits;

    @Autowired
    private StringRedisTemplate redis;

    @Test
    void visitsAreCounted() {
        assertEquals(1, visits.count("news"));
        assertEquals(2, visits.count("news"));
    }

    @Test
    void aPageThatNobodyVisitsForADayIsForgotten() {
        visits.count("old");
        advance(Duration.ofHours(23));
        assertEquals(2, visits.count("old"));
        advance(Duration.ofHours(25));
        assertEquals(1, visits.count("old"));
    }

    /** Moves the clock of the server. */
    private void advance(Duration by) {
        byte[][] words = {"CLOCK".getBytes(), "ADVANCE".getBytes(), Long.toString(by.toMillis()).getBytes()};
        redis.execute((RedisCallback<Object>) (RedisConnection connection) -> connection.execute("KVARTS", words));
    }
}

package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.lettuce.core.ClientOptions;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.TrackingArgs;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.support.caching.CacheAccessor;
import io.lettuce.core.support.caching.CacheFrontend;
import io.lettuce.core.support.caching.ClientSideCaching;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Lettuce's client-side caching: copies that the server says are invalid. */
class LettuceCachingTest {

    private static final Duration LIMIT = Duration.ofSeconds(10);

    @AutoClose
    private static KvartsServer server;

    @BeforeAll
    static void start() {
        server = KvartsServer.standalone("lettuce-caching");
    }

    @BeforeEach
    void empty() {
        try (RawClient raw = server.raw()) {
            raw.call("FLUSHALL");
        }
    }

    @Test
    void aCopyGoesWhenItsKeyChangesEndsOrIsFlushed() {
        Map<String, String> copies = new ConcurrentHashMap<>();
        try (RedisClient client = client();
                StatefulRedisConnection<String, String> caching = client.connect();
                StatefulRedisConnection<String, String> other = client.connect()) {
            CacheFrontend<String, String> frontend =
                    ClientSideCaching.enable(CacheAccessor.forMap(copies), caching, TrackingArgs.Builder.enabled());
            other.sync().set("key", "one");
            assertEquals("one", frontend.get("key"));
            assertEquals(Map.of("key", "one"), copies);
            other.sync().set("key", "two");
            Await.until("the copy is gone", LIMIT, () -> !copies.containsKey("key"));
            assertEquals("two", frontend.get("key"));
            other.sync().psetex("short", 50, "value");
            assertEquals("value", frontend.get("short"));
            Await.until("the copy of a key that ended is gone", LIMIT, () -> !copies.containsKey("short"));
            assertNull(frontend.get("short"));
            assertEquals(Map.of("key", "two"), copies);
            other.sync().del("key");
            Await.until("the copy of a deleted key is gone", LIMIT, copies::isEmpty);
            frontend.close();
        }
    }

    private static RedisClient client() {
        RedisURI uri = RedisURI.builder().withHost("127.0.0.1").withPort(server.port()).withTimeout(LIMIT).build();
        RedisClient client = RedisClient.create(uri);
        client.setOptions(ClientOptions.builder().protocolVersion(ProtocolVersion.RESP3).build());
        return client;
    }
}

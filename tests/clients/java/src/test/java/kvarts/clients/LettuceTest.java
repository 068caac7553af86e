package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lettuce.core.ClientOptions;
import io.lettuce.core.LettuceFutures;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanIterator;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.pubsub.StatefulRedisPubSubConnection;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Lettuce by itself against one server, in both protocol versions. */
class LettuceTest {

    private static final Duration LIMIT = Duration.ofSeconds(10);

    @AutoClose
    private static KvartsServer server;

    @BeforeAll
    static void start() {
        server = KvartsServer.standalone("lettuce");
    }

    @BeforeEach
    void empty() {
        try (RawClient raw = server.raw()) {
            raw.call("FLUSHALL");
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"RESP2", "RESP3"})
    void commandsAnswer(ProtocolVersion protocol) {
        try (RedisClient client = client(protocol); StatefulRedisConnection<String, String> connection = client.connect()) {
            RedisCommands<String, String> redis = connection.sync();
            assertEquals("PONG", redis.ping());
            assertEquals("OK", redis.set("text", "blåbær"));
            assertEquals("blåbær", redis.get("text"));
            assertNull(redis.get("nothing"));
            assertEquals(41L, redis.incrby("number", 41));
            assertEquals(42L, redis.incr("number"));
            assertEquals(2L, redis.hset("hash", Map.of("a", "1", "b", "2")));
            assertEquals(Map.of("a", "1", "b", "2"), redis.hgetall("hash"));
            assertEquals(2L, redis.sadd("set", "x", "y", "x"));
            assertEquals(Set.of("x", "y"), redis.smembers("set"));
            assertEquals(3L, redis.rpush("list", "1", "2", "3"));
            assertEquals(List.of("1", "2", "3"), redis.lrange("list", 0, -1));
            assertEquals(1L, redis.zadd("zset", 1.5, "m"));
            assertEquals(1.5, redis.zscore("zset", "m"));
            assertTrue(redis.pexpire("text", 60_000));
            assertTrue(redis.pttl("text") > 0);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"RESP2", "RESP3"})
    void aTransactionAnswersAsOne(ProtocolVersion protocol) {
        try (RedisClient client = client(protocol); StatefulRedisConnection<String, String> connection = client.connect()) {
            RedisCommands<String, String> redis = connection.sync();
            assertEquals("OK", redis.multi());
            assertNull(redis.set("k", "v"));
            assertNull(redis.get("k"));
            assertEquals(List.of("OK", "v"), redis.exec().stream().toList());
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"RESP2", "RESP3"})
    void aPipelineIsAnsweredInOrder(ProtocolVersion protocol) {
        try (RedisClient client = client(protocol); StatefulRedisConnection<String, String> connection = client.connect()) {
            connection.setAutoFlushCommands(false);
            List<RedisFuture<Long>> replies = new ArrayList<>();
            for (int i = 0; i < 1_000; i++) {
                replies.add(connection.async().incr("counter"));
            }
            connection.flushCommands();
            assertTrue(LettuceFutures.awaitAll(LIMIT, replies.toArray(RedisFuture[]::new)));
            for (int i = 0; i < replies.size(); i++) {
                assertEquals(i + 1L, replies.get(i).toCompletableFuture().join());
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"RESP2", "RESP3"})
    void aScanSeesEveryKey(ProtocolVersion protocol) {
        try (RedisClient client = client(protocol); StatefulRedisConnection<String, String> connection = client.connect()) {
            RedisCommands<String, String> redis = connection.sync();
            Set<String> expected = new HashSet<>();
            for (int i = 0; i < 300; i++) {
                redis.set("other:" + i, "");
                redis.set("scan:" + i, "");
                expected.add("scan:" + i);
            }
            ScanIterator<String> scan = ScanIterator.scan(redis, ScanArgs.Builder.matches("scan:*").limit(50));
            Set<String> found = new HashSet<>();
            scan.forEachRemaining(found::add);
            assertEquals(expected, found);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"RESP2", "RESP3"})
    void publishedMessagesArrive(ProtocolVersion protocol) throws InterruptedException {
        try (RedisClient client = client(protocol);
                StatefulRedisConnection<String, String> connection = client.connect();
                StatefulRedisPubSubConnection<String, String> subscriber = client.connectPubSub()) {
            BlockingQueue<String> messages = messages(subscriber);
            subscriber.sync().subscribe("news");
            subscriber.sync().psubscribe("wea*");
            assertEquals(1L, connection.sync().publish("news", "one"));
            assertEquals("news: one", messages.poll(LIMIT.toSeconds(), TimeUnit.SECONDS));
            assertEquals(1L, connection.sync().publish("weather", "rain"));
            assertEquals("wea* weather: rain", messages.poll(LIMIT.toSeconds(), TimeUnit.SECONDS));
            subscriber.sync().unsubscribe("news");
            assertEquals(0L, connection.sync().publish("news", "two"));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"RESP2", "RESP3"})
    void keyspaceNotificationsArrive(ProtocolVersion protocol) throws InterruptedException {
        try (RedisClient client = client(protocol);
                StatefulRedisConnection<String, String> connection = client.connect();
                StatefulRedisPubSubConnection<String, String> subscriber = client.connectPubSub()) {
            RedisCommands<String, String> redis = connection.sync();
            assertEquals("OK", redis.configSet("notify-keyspace-events", "KEA"));
            BlockingQueue<String> messages = messages(subscriber);
            subscriber.sync().psubscribe("__keyspace@0__:watched");
            redis.set("watched", "1");
            assertEquals("set", lastWord(messages));
            redis.del("watched");
            assertEquals("del", lastWord(messages));
            redis.psetex("watched", 20, "short");
            assertEquals("set", lastWord(messages));
            assertEquals("expire", lastWord(messages));
            assertEquals("expired", lastWord(messages));
            redis.configSet("notify-keyspace-events", "");
        }
    }

    private static RedisClient client(ProtocolVersion protocol) {
        RedisClient client = RedisClient.create(RedisURI.Builder.redis("localhost", server.port()).withTimeout(LIMIT).build());
        client.setOptions(ClientOptions.builder().protocolVersion(protocol).build());
        return client;
    }

    static BlockingQueue<String> messages(StatefulRedisPubSubConnection<String, String> subscriber) {
        BlockingQueue<String> messages = new LinkedBlockingQueue<>();
        subscriber.addListener(new RedisPubSubAdapter<>() {
            @Override
            public void message(String channel, String message) {
                messages.add(channel + ": " + message);
            }

            @Override
            public void message(String pattern, String channel, String message) {
                messages.add(pattern + " " + channel + ": " + message);
            }

            @Override
            public void smessage(String channel, String message) {
                messages.add("shard " + channel + ": " + message);
            }
        });
        return messages;
    }

    private static String lastWord(BlockingQueue<String> messages) throws InterruptedException {
        String message = messages.poll(LIMIT.toSeconds(), TimeUnit.SECONDS);
        return message == null ? null : message.substring(message.lastIndexOf(' ') + 1);
    }
}

package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import redis.clients.jedis.AbstractTransaction;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisPooled;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.params.ScanParams;
import redis.clients.jedis.resps.ScanResult;

/** Jedis against one server, in both protocol versions. */
class JedisTest {

    private static final long LIMIT_S = 10;

    @AutoClose
    private static KvartsServer server;

    @BeforeAll
    static void start() {
        server = KvartsServer.standalone("jedis");
    }

    @BeforeEach
    void empty() {
        try (RawClient raw = server.raw()) {
            raw.call("FLUSHALL");
        }
    }

    @ParameterizedTest
    @EnumSource
    void commandsAnswer(RedisProtocol protocol) {
        try (JedisPooled redis = client(protocol)) {
            assertEquals("PONG", redis.ping());
            assertEquals("OK", redis.set("text", "blåbær"));
            assertEquals("blåbær", redis.get("text"));
            assertNull(redis.get("nothing"));
            assertEquals(42, redis.incrBy("number", 42));
            assertEquals(2, redis.hset("hash", Map.of("a", "1", "b", "2")));
            assertEquals(Map.of("a", "1", "b", "2"), redis.hgetAll("hash"));
            assertEquals(2, redis.sadd("set", "x", "y", "x"));
            assertEquals(Set.of("x", "y"), redis.smembers("set"));
            assertEquals(3, redis.rpush("list", "1", "2", "3"));
            assertEquals(List.of("1", "2", "3"), redis.lrange("list", 0, -1));
            assertEquals(1, redis.zadd("zset", 1.5, "m"));
            assertEquals(1.5, redis.zscore("zset", "m"));
            assertEquals(1, redis.pexpire("text", 60_000));
            assertTrue(redis.pttl("text") > 0);
        }
    }

    @ParameterizedTest
    @EnumSource
    void aTransactionAnswersAsOne(RedisProtocol protocol) {
        try (JedisPooled redis = client(protocol); AbstractTransaction transaction = redis.multi()) {
            transaction.set("k", "v");
            Response<String> value = transaction.get("k");
            assertEquals(List.of("OK", "v"), transaction.exec());
            assertEquals("v", value.get());
        }
    }

    @ParameterizedTest
    @EnumSource
    void aPipelineIsAnsweredInOrder(RedisProtocol protocol) {
        try (JedisPooled redis = client(protocol); Pipeline pipeline = redis.pipelined()) {
            List<Response<Long>> replies = new ArrayList<>();
            for (int i = 0; i < 1_000; i++) {
                replies.add(pipeline.incr("counter"));
            }
            pipeline.sync();
            for (int i = 0; i < replies.size(); i++) {
                assertEquals(i + 1L, replies.get(i).get());
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void aScanSeesEveryKey(RedisProtocol protocol) {
        try (JedisPooled redis = client(protocol)) {
            Set<String> expected = new HashSet<>();
            for (int i = 0; i < 300; i++) {
                redis.set("other:" + i, "");
                redis.set("scan:" + i, "");
                expected.add("scan:" + i);
            }
            Set<String> found = new HashSet<>();
            ScanParams wanted = new ScanParams().match("scan:*").count(50);
            String cursor = ScanParams.SCAN_POINTER_START;
            do {
                ScanResult<String> page = redis.scan(cursor, wanted);
                found.addAll(page.getResult());
                cursor = page.getCursor();
            } while (!cursor.equals(ScanParams.SCAN_POINTER_START));
            assertEquals(expected, found);
        }
    }

    @ParameterizedTest
    @EnumSource
    void publishedMessagesArrive(RedisProtocol protocol) throws InterruptedException {
        try (JedisPooled redis = client(protocol)) {
            Listener listener = new Listener();
            Thread thread = listener.run(l -> redis.subscribe(l, "news"));
            assertEquals(1, redis.publish("news", "one"));
            assertEquals("news: one", listener.next());
            listener.unsubscribe();
            thread.join(TimeUnit.SECONDS.toMillis(LIMIT_S));
            assertEquals(0, redis.publish("news", "two"));
        }
    }

    @ParameterizedTest
    @EnumSource
    void keyspaceNotificationsArrive(RedisProtocol protocol) throws InterruptedException {
        try (JedisPooled redis = client(protocol); RawClient raw = server.raw()) {
            assertEquals("OK", raw.call("CONFIG", "SET", "notify-keyspace-events", "KEA"));
            Listener listener = new Listener();
            Thread thread = listener.run(l -> redis.psubscribe(l, "__key*@0__:*"));
            redis.set("watched", "1");
            assertEquals("__keyspace@0__:watched: set", listener.next());
            assertEquals("__keyevent@0__:set: watched", listener.next());
            redis.pexpire("watched", 20);
            assertEquals("__keyspace@0__:watched: expire", listener.next());
            assertEquals("__keyevent@0__:expire: watched", listener.next());
            assertEquals("__keyspace@0__:watched: expired", listener.next());
            assertEquals("__keyevent@0__:expired: watched", listener.next());
            listener.punsubscribe();
            thread.join(TimeUnit.SECONDS.toMillis(LIMIT_S));
            raw.call("CONFIG", "SET", "notify-keyspace-events", "");
        }
    }

    private static JedisPooled client(RedisProtocol protocol) {
        return new JedisPooled(
                new HostAndPort("localhost", server.port()),
                DefaultJedisClientConfig.builder().protocol(protocol).build());
    }

    /** Collects messages; subscribing blocks, so it has a thread of its own. */
    private static final class Listener extends JedisPubSub {

        private static final String READY = "(subscribed)";

        private final BlockingQueue<String> messages = new LinkedBlockingQueue<>();

        /** Returns once the server has confirmed the subscription. */
        Thread run(Consumer<Listener> subscribe) throws InterruptedException {
            Thread thread = new Thread(() -> subscribe.accept(this), "subscriber");
            thread.setDaemon(true);
            thread.start();
            assertEquals(READY, next());
            return thread;
        }

        String next() throws InterruptedException {
            return messages.poll(LIMIT_S, TimeUnit.SECONDS);
        }

        @Override
        public void onSubscribe(String channel, int count) {
            messages.add(READY);
        }

        @Override
        public void onPSubscribe(String pattern, int count) {
            messages.add(READY);
        }

        @Override
        public void onMessage(String channel, String message) {
            messages.add(channel + ": " + message);
        }

        @Override
        public void onPMessage(String pattern, String channel, String message) {
            messages.add(channel + ": " + message);
        }
    }
}

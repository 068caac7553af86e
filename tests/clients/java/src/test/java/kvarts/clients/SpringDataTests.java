package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.springframework.cache.Cache;
import org.springframework.dao.InvalidDataAccessApiUsageException;
import org.springframework.data.domain.Range;
import org.springframework.data.redis.RedisSystemException;
import org.springframework.data.redis.cache.BatchStrategies;
import org.springframework.data.redis.cache.RedisCacheConfiguration;
import org.springframework.data.redis.cache.RedisCacheManager;
import org.springframework.data.redis.cache.RedisCacheWriter;
import org.springframework.data.redis.connection.Message;
import org.springframework.data.redis.connection.MessageListener;
import org.springframework.data.redis.connection.lettuce.LettuceClientConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.data.redis.connection.stream.Consumer;
import org.springframework.data.redis.connection.stream.MapRecord;
import org.springframework.data.redis.connection.stream.PendingMessages;
import org.springframework.data.redis.connection.stream.ReadOffset;
import org.springframework.data.redis.connection.stream.RecordId;
import org.springframework.data.redis.connection.stream.StreamOffset;
import org.springframework.data.redis.core.RedisCallback;
import org.springframework.data.redis.core.StreamOperations;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.data.redis.core.script.DefaultRedisScript;
import org.springframework.data.redis.core.script.RedisScript;
import org.springframework.data.redis.listener.ChannelTopic;
import org.springframework.data.redis.listener.KeyExpirationEventMessageListener;
import org.springframework.data.redis.listener.PatternTopic;
import org.springframework.data.redis.listener.RedisMessageListenerContainer;
import org.springframework.data.redis.stream.StreamListener;
import org.springframework.data.redis.stream.StreamMessageListenerContainer;
import org.springframework.data.redis.stream.StreamMessageListenerContainer.StreamMessageListenerContainerOptions;
import org.springframework.data.redis.stream.StreamMessageListenerContainer.StreamReadRequest;
import org.springframework.data.redis.stream.Subscription;

/** Spring Data Redis over Lettuce. The subclasses say how it reaches the server. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class SpringDataTests {

    static final Duration LIMIT = Duration.ofSeconds(10);

    private static final RedisScript<Long> ADD =
            new DefaultRedisScript<>("return redis.call('INCRBY', KEYS[1], ARGV[1])", Long.class);

    KvartsServer server;
    StringRedisTemplate template;
    private LettuceConnectionFactory connections;

    abstract KvartsServer startServer();

    abstract LettuceConnectionFactory connections(KvartsServer server, LettuceClientConfiguration client);

    @BeforeAll
    void start() {
        server = startServer();
        connections = connections(
                server,
                LettuceClientConfiguration.builder().commandTimeout(LIMIT).shutdownTimeout(Duration.ZERO).build());
        connections.afterPropertiesSet();
        connections.start();
        template = new StringRedisTemplate(connections);
    }

    @AfterAll
    void stop() {
        try (KvartsServer closing = server) {
            if (connections != null) {
                connections.destroy();
            }
        }
    }

    @BeforeEach
    void empty() {
        try (RawClient raw = server.raw()) {
            raw.call("FLUSHALL");
            raw.call("SCRIPT", "FLUSH");
        }
    }

    @Test
    void theOperationsAnswer() {
        template.opsForValue().set("text", "blåbær", Duration.ofMinutes(1));
        assertEquals("blåbær", template.opsForValue().getAndPersist("text"));
        assertEquals(-1, template.getExpire("text"));
        assertFalse(template.opsForValue().setIfAbsent("text", "no", Duration.ofMinutes(1)));
        template.opsForHash().putAll("hash", Map.of("a", "1", "b", "2"));
        assertEquals(Map.of("a", "1", "b", "2"), template.opsForHash().entries("hash"));
        template.opsForList().rightPushAll("list", "1", "2", "3");
        assertEquals("1", template.opsForList().leftPop("list", LIMIT));
        assertNull(template.opsForList().leftPop("nothing", Duration.ofMillis(50)));
        template.opsForZSet().add("zset", "m", 1.5);
        assertEquals(1.5, template.opsForZSet().score("zset", "m"));
        template.opsForSet().add("set", "x", "y", "x");
        assertEquals(Set.of("x", "y"), template.opsForSet().members("set"));
        assertEquals(4, template.delete(List.of("text", "hash", "list", "zset", "nothing")));
        assertEquals(Set.of("set"), template.keys("*"));
    }

    @Test
    void aScriptRunsKnownToTheServerOrNot() {
        assertEquals(40L, template.execute(ADD, List.of("count"), "40"));
        assertEquals(42L, template.execute(ADD, List.of("count"), "2"));
        try (RawClient raw = server.raw()) {
            assertEquals(List.of(1L), raw.call("SCRIPT", "EXISTS", ADD.getSha1()));
            raw.call("SCRIPT", "FLUSH");
        }
        assertEquals(43L, template.execute(ADD, List.of("count"), "1"));
    }

    @Test
    @SuppressWarnings("rawtypes")
    void aScriptsResultIsOfTheTypeAskedFor() {
        assertEquals(
                List.of("k", "1", 2L),
                template.execute(new DefaultRedisScript<List>("return {KEYS[1], ARGV[1], 2}", List.class), List.of("k"), "1"));
        assertTrue(template.execute(new DefaultRedisScript<>("return 1 == 1", Boolean.class), List.of("k")));
        assertFalse(template.execute(new DefaultRedisScript<>("return false", Boolean.class), List.of("k")));
        assertEquals(
                "{\"k\":[1,2]}",
                template.execute(
                        new DefaultRedisScript<>("return cjson.encode({[KEYS[1]] = {1, 2}})", String.class), List.of("k")));
        Throwable refused = assertThrows(
                RuntimeException.class,
                () -> template.execute(new DefaultRedisScript<>("return redis.error_reply('MINE it is')", String.class), List.of("k")));
        assertTrue(refused instanceof RedisSystemException || refused instanceof InvalidDataAccessApiUsageException, refused::toString);
        assertEquals("MINE it is", refused.getCause().getMessage());
    }

    @Test
    void aPipelineOf500IsAnsweredInOrder() {
        List<Object> replies = template.executePipelined((RedisCallback<Object>) connection -> {
            for (int i = 0; i < 500; i++) {
                connection.stringCommands().incr("counter".getBytes(StandardCharsets.UTF_8));
            }
            return null;
        });
        assertEquals(LongStream.rangeClosed(1, 500).boxed().toList(), replies);
    }

    @Test
    void aListenerContainerHearsChannelsAndPatterns() throws Exception {
        BlockingQueue<String> messages = new LinkedBlockingQueue<>();
        MessageListener listener = (message, pattern) -> messages.add(
                (pattern == null ? "" : new String(pattern, StandardCharsets.UTF_8) + " ") + message);
        RedisMessageListenerContainer container = container();
        try {
            container.addMessageListener(listener, List.of(new ChannelTopic("news")));
            container.start();
            Await.until("the container listens", LIMIT, container::isListening);
            template.convertAndSend("news", "one");
            assertEquals("one", next(messages).replace("news ", ""));
            container.addMessageListener(listener, new PatternTopic("wea*"));
            template.convertAndSend("weather", "rain");
            assertEquals("wea* rain", next(messages));
            container.removeMessageListener(listener, new ChannelTopic("news"));
            template.convertAndSend("news", "unheard");
            template.convertAndSend("weather", "sun");
            assertEquals("wea* sun", next(messages));
        } finally {
            container.destroy();
        }
    }

    @Test
    void aListenerHearsWhichKeyExpired() throws Exception {
        BlockingQueue<String> expired = new LinkedBlockingQueue<>();
        RedisMessageListenerContainer container = container();
        KeyExpirationEventMessageListener listener = new KeyExpirationEventMessageListener(container) {
            @Override
            protected void doHandleMessage(Message message) {
                expired.add(message.toString());
            }
        };
        try {
            container.start();
            listener.init();
            Await.until("the container listens", LIMIT, container::isListening);
            template.opsForValue().set("short", "", Duration.ofMillis(20));
            assertEquals("short", next(expired));
        } finally {
            listener.destroy();
            container.destroy();
        }
    }

    @Test
    void aCacheKeepsAndForgets() {
        Cache cache = cacheManager().getCache("books");
        assertNull(cache.get("1"));
        cache.put("1", "Emma");
        assertEquals("Emma", cache.get("1", String.class));
        assertEquals("Emma", cache.putIfAbsent("1", "Persuasion").get());
        assertEquals("computed", cache.get("2", () -> "computed"));
        assertEquals("computed", cache.get("2", String.class));
        cache.evict("1");
        assertNull(cache.get("1"));
        assertEquals("computed", cache.get("2", String.class));
    }

    @Test
    void aCacheIsClearedAloneByKeysOrByScan() {
        for (RedisCacheWriter writer : List.of(
                RedisCacheWriter.nonLockingRedisCacheWriter(connections),
                RedisCacheWriter.lockingRedisCacheWriter(connections),
                RedisCacheWriter.nonLockingRedisCacheWriter(connections, BatchStrategies.scan(50)))) {
            RedisCacheManager manager = RedisCacheManager.builder(writer).build();
            Cache cleared = manager.getCache("cleared");
            Cache kept = manager.getCache("kept");
            for (int i = 0; i < 200; i++) {
                cleared.put(i, "value");
            }
            kept.put(1, "value");
            cleared.clear();
            assertNull(cleared.get(1));
            assertEquals("value", kept.get(1, String.class));
            assertEquals(Set.of("kept::1"), template.keys("*"));
        }
    }

    @Test
    void aCachesEntriesLiveAsLongAsConfigured() {
        RedisCacheManager manager = cacheManager();
        manager.getCache("books").put("1", "Emma");
        long left = template.getExpire("books::1", TimeUnit.MILLISECONDS);
        assertTrue(left > 590_000 && left <= 600_000, () -> left + " ms");
        Cache quick = manager.getCache("quick");
        quick.put("1", "gone soon");
        Await.until("the entry is gone", LIMIT, () -> quick.get("1") == null);
        // Each look renews the time to live of an entry of this one.
        Cache idle = manager.getCache("idle");
        idle.put("1", "kept by looking");
        template.expire("idle::1", Duration.ofSeconds(30));
        assertNotNull(idle.get("1"));
        assertTrue(template.getExpire("idle::1") > 60);
    }

    @Test
    void whatOneConsumerFailsToHandleAnotherClaims() throws Exception {
        StreamOperations<String, String, String> stream = template.opsForStream();
        stream.createGroup("orders", ReadOffset.from("0"), "shop");
        BlockingQueue<String> handled = new LinkedBlockingQueue<>();
        BlockingQueue<Throwable> errors = new LinkedBlockingQueue<>();
        StreamListener<String, MapRecord<String, String, String>> failsOnBroken = message -> {
            if (message.getValue().get("item").equals("broken")) {
                throw new IllegalStateException("it is broken");
            }
            handled.add(message.getValue().get("item"));
            stream.acknowledge("shop", message);
        };
        StreamMessageListenerContainer<String, MapRecord<String, String, String>> container =
                StreamMessageListenerContainer.create(
                        connections,
                        StreamMessageListenerContainerOptions.builder().batchSize(10).pollTimeout(Duration.ofMillis(500)).build());
        Subscription subscription = container.register(
                StreamReadRequest.builder(StreamOffset.create("orders", ReadOffset.lastConsumed()))
                        .errorHandler(errors::add)
                        .cancelOnError(error -> false)
                        .consumer(Consumer.from("shop", "anna"))
                        .autoAcknowledge(false)
                        .build(),
                failsOnBroken);
        container.start();
        try {
            assertTrue(subscription.await(LIMIT));
            assertNotNull(stream.add("orders", Map.of("item", "tea")));
            RecordId broken = stream.add("orders", Map.of("item", "broken"));
            assertNotNull(stream.add("orders", Map.of("item", "milk")));
            assertEquals("tea", next(handled));
            assertEquals("milk", next(handled));
            assertEquals("it is broken", errors.poll(LIMIT.toSeconds(), TimeUnit.SECONDS).getMessage());
            Await.until("only the failed one is pending", LIMIT, () ->
                    stream.pending("orders", "shop").getTotalPendingMessages() == 1);

            PendingMessages pending = stream.pending("orders", Consumer.from("shop", "anna"), Range.unbounded(), 10);
            assertEquals(broken, pending.get(0).getId());
            assertEquals(1, pending.get(0).getTotalDeliveryCount());
            List<MapRecord<String, String, String>> claimed = stream.claim("orders", "shop", "bert", Duration.ZERO, broken);
            assertEquals(List.of(Map.of("item", "broken")), claimed.stream().map(MapRecord::getValue).toList());
            assertEquals("bert", stream.pending("orders", "shop", Range.unbounded(), 10).get(0).getConsumerName());
            assertEquals(1, stream.acknowledge("orders", "shop", broken));
            assertEquals(0, stream.pending("orders", "shop").getTotalPendingMessages());
            assertEquals(2, stream.consumers("orders", "shop").size());
            assertEquals(3, stream.info("orders").streamLength());
        } finally {
            CompletableFuture<Void> stopped = new CompletableFuture<>();
            container.stop(() -> stopped.complete(null));
            stopped.get(LIMIT.toSeconds(), TimeUnit.SECONDS);
            // It is at its last read until that read's time is up.
            Await.until("the subscription has ended", LIMIT, () -> !subscription.isActive());
        }
    }

    private RedisCacheManager cacheManager() {
        RedisCacheConfiguration tenMinutes = RedisCacheConfiguration.defaultCacheConfig().entryTtl(Duration.ofMinutes(10));
        RedisCacheManager manager = RedisCacheManager.builder(connections)
                .cacheDefaults(tenMinutes)
                .withCacheConfiguration("quick", tenMinutes.entryTtl(Duration.ofMillis(50)))
                .withCacheConfiguration("idle", tenMinutes.enableTimeToIdle())
                .build();
        manager.afterPropertiesSet();
        return manager;
    }

    private RedisMessageListenerContainer container() {
        RedisMessageListenerContainer container = new RedisMessageListenerContainer();
        container.setConnectionFactory(connections);
        container.afterPropertiesSet();
        return container;
    }

    private static String next(BlockingQueue<String> queue) throws InterruptedException {
        return queue.poll(LIMIT.toSeconds(), TimeUnit.SECONDS);
    }
}

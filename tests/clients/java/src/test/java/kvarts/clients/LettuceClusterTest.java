package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lettuce.core.KeyValue;
import io.lettuce.core.LettuceFutures;
import io.lettuce.core.ReadFrom;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanIterator;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.api.StatefulRedisClusterConnection;
import io.lettuce.core.cluster.api.sync.RedisAdvancedClusterCommands;
import io.lettuce.core.cluster.models.partitions.RedisClusterNode;
import io.lettuce.core.cluster.pubsub.StatefulRedisClusterPubSubConnection;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Lettuce's cluster client by itself. */
class LettuceClusterTest {

    private static final Duration LIMIT = Duration.ofSeconds(10);

    private static KvartsServer server;
    private static RedisClusterClient client;

    @BeforeAll
    static void start() {
        server = KvartsServer.cluster("lettuce-cluster");
        client = RedisClusterClient.create(
                RedisURI.Builder.redis("localhost", server.port()).withTimeout(LIMIT).build());
    }

    @AfterAll
    static void stop() {
        try (KvartsServer closing = server) {
            if (client != null) {
                client.shutdown();
            }
        }
    }

    @BeforeEach
    void empty() {
        try (RawClient raw = server.raw()) {
            raw.call("FLUSHALL");
        }
    }

    @Test
    void theTopologyIsOneNodeWithEverySlotAndItsReplica() {
        try (StatefulRedisClusterConnection<String, String> connection = client.connect()) {
            Map<Integer, RedisClusterNode> nodes = new HashMap<>();
            connection.getPartitions().forEach(node -> nodes.put(node.getUri().getPort(), node));
            assertEquals(Set.of(server.port(), server.readOnlyPort()), nodes.keySet());
            RedisClusterNode primary = nodes.get(server.port());
            RedisClusterNode replica = nodes.get(server.readOnlyPort());
            assertEquals(16_384, primary.getSlots().size());
            assertTrue(replica.getRole().isReplica());
            assertEquals(primary.getNodeId(), replica.getSlaveOf());
            assertTrue(primary.isConnected() && replica.isConnected());
        }
    }

    @Test
    void commandsOverManySlotsAreSplitAndJoined() {
        try (StatefulRedisClusterConnection<String, String> connection = client.connect()) {
            RedisAdvancedClusterCommands<String, String> redis = connection.sync();
            Map<String, String> values = new HashMap<>();
            for (int i = 0; i < 100; i++) {
                values.put("key:" + i, "value:" + i);
            }
            assertEquals("OK", redis.mset(values));
            String[] keys = values.keySet().toArray(String[]::new);
            Map<String, String> read = new HashMap<>();
            for (KeyValue<String, String> pair : redis.mget(keys)) {
                read.put(pair.getKey(), pair.getValue());
            }
            assertEquals(values, read);
            assertEquals(100L, redis.exists(keys));
            assertEquals(100L, redis.dbsize());
            assertEquals(100L, redis.del(keys));
            assertNull(redis.get("key:1"));
        }
    }

    @Test
    void aScanSeesEveryKey() {
        try (StatefulRedisClusterConnection<String, String> connection = client.connect()) {
            Set<String> expected = new HashSet<>();
            for (int i = 0; i < 300; i++) {
                connection.sync().set("scan:" + i, "");
                expected.add("scan:" + i);
            }
            Set<String> found = new HashSet<>();
            ScanIterator.scan(connection.sync(), ScanArgs.Builder.limit(50)).forEachRemaining(found::add);
            assertEquals(expected, found);
        }
    }

    @Test
    void aPipelineIsAnsweredInOrder() {
        try (StatefulRedisClusterConnection<String, String> connection = client.connect()) {
            // Opens the node's connection: a flush reaches open ones only.
            connection.sync().set("counter", "0");
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

    @Test
    void readsFromTheReplicaAloneWork() {
        try (StatefulRedisClusterConnection<String, String> connection = client.connect()) {
            connection.sync().set("k", "v");
            connection.setReadFrom(ReadFrom.REPLICA);
            Await.until("the replica has the key", LIMIT, () -> "v".equals(connection.sync().get("k")));
            // A write still goes to the node that takes it.
            assertEquals("OK", connection.sync().set("k", "w"));
        }
    }

    @Test
    void messagesArriveOnChannelsAndShardChannels() throws InterruptedException {
        try (StatefulRedisClusterConnection<String, String> connection = client.connect();
                StatefulRedisClusterPubSubConnection<String, String> subscriber = client.connectPubSub()) {
            BlockingQueue<String> messages = LettuceTest.messages(subscriber);
            subscriber.sync().subscribe("news");
            connection.sync().publish("news", "one");
            assertEquals("news: one", messages.poll(LIMIT.toSeconds(), TimeUnit.SECONDS));

            subscriber.sync().ssubscribe("orders");
            connection.sync().spublish("orders", "two");
            assertEquals("shard orders: two", messages.poll(LIMIT.toSeconds(), TimeUnit.SECONDS));
        }
    }
}

package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import redis.clients.jedis.ClusterPipeline;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisCluster;
import redis.clients.jedis.JedisShardedPubSub;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.exceptions.JedisDataException;

/** Jedis over the cluster mode, plain and with TLS. */
class JedisClusterTest {

    private static final long LIMIT_S = 10;

    @AutoClose
    private static KvartsServer server;

    @BeforeAll
    static void start() {
        server = KvartsServer.cluster("jedis-cluster");
    }

    @BeforeEach
    void empty() {
        try (RawClient raw = server.raw()) {
            raw.call("FLUSHALL");
        }
    }

    @ParameterizedTest
    @EnumSource
    void keysOfManySlotsAreWrittenAndRead(RedisProtocol protocol) {
        try (JedisCluster redis = client(DefaultJedisClientConfig.builder().protocol(protocol))) {
            Set<Integer> ports = redis.getClusterNodes().keySet().stream()
                    .map(address -> HostAndPort.from(address).getPort())
                    .collect(Collectors.toSet());
            assertEquals(Set.of(server.port(), server.readOnlyPort()), ports);
            writeAndRead(redis);
            assertEquals("OK", redis.mset("{tag}a", "1", "{tag}b", "2"));
            assertEquals(List.of("1", "2"), redis.mget("{tag}a", "{tag}b"));
        }
    }

    @Test
    void aPipelineSpansSlots() {
        try (JedisCluster redis = client(DefaultJedisClientConfig.builder()); ClusterPipeline pipeline = redis.pipelined()) {
            List<Response<Long>> replies = new ArrayList<>();
            for (int i = 0; i < 500; i++) {
                replies.add(pipeline.incr("counter:" + i % 50));
            }
            pipeline.sync();
            for (int i = 0; i < replies.size(); i++) {
                assertEquals(i / 50 + 1L, replies.get(i).get());
            }
        }
    }

    @Test
    void keysOfDifferentSlotsAreRefusedTogether() {
        try (RawClient raw = server.raw()) {
            Throwable refused = assertThrows(IllegalStateException.class, () -> raw.call("MSET", "a", "1", "b", "2"));
            assertTrue(refused.getMessage().startsWith("CROSSSLOT "), refused::getMessage);
        }
    }

    @Test
    void theReadOnlyPortRefusesAWriteAndSaysWhereItBelongs() {
        try (RawClient raw = RawClient.plain(server.readOnlyPort())) {
            Throwable refused = assertThrows(IllegalStateException.class, () -> raw.call("SET", "k", "v"));
            String expected = "MOVED 7629 (127\\.0\\.0\\.1|localhost):" + server.port();
            assertTrue(refused.getMessage().matches(expected), refused::getMessage);
        }
    }

    @Test
    void shardChannelsDeliver() throws InterruptedException {
        try (JedisCluster redis = client(DefaultJedisClientConfig.builder())) {
            BlockingQueue<String> messages = new LinkedBlockingQueue<>();
            JedisShardedPubSub listener = new JedisShardedPubSub() {
                @Override
                public void onSSubscribe(String channel, int count) {
                    messages.add("subscribed to " + channel);
                }

                @Override
                public void onSMessage(String channel, String message) {
                    messages.add(channel + ": " + message);
                }
            };
            Thread thread = new Thread(() -> redis.ssubscribe(listener, "orders"), "subscriber");
            thread.setDaemon(true);
            thread.start();
            assertEquals("subscribed to orders", messages.poll(LIMIT_S, TimeUnit.SECONDS));
            assertEquals(1, redis.spublish("orders", "one"));
            assertEquals("orders: one", messages.poll(LIMIT_S, TimeUnit.SECONDS));
            listener.sunsubscribe();
            thread.join(TimeUnit.SECONDS.toMillis(LIMIT_S));
            assertEquals(0, redis.spublish("orders", "two"));
        }
    }

    @Test
    void theSameOverTlsWithFullVerification() throws IOException, GeneralSecurityException {
        SSLParameters verifyTheName = new SSLParameters();
        verifyTheName.setEndpointIdentificationAlgorithm("HTTPS");
        try (JedisCluster redis = client(
                DefaultJedisClientConfig.builder().ssl(true).sslSocketFactory(trustingTheCa()).sslParameters(verifyTheName))) {
            writeAndRead(redis);
        }
    }

    private static void writeAndRead(JedisCluster redis) {
        for (int i = 0; i < 100; i++) {
            assertEquals("OK", redis.set("key:" + i, "value:" + i));
        }
        for (int i = 0; i < 100; i++) {
            assertEquals("value:" + i, redis.get("key:" + i));
        }
    }

    private static JedisCluster client(DefaultJedisClientConfig.Builder configuration) {
        return new JedisCluster(Set.of(new HostAndPort("localhost", server.port())), configuration.build());
    }

    private static SSLSocketFactory trustingTheCa() throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream file = Files.newInputStream(server.caTrustStore())) {
            store.load(file, KvartsServer.TRUST_STORE_PASSWORD.toCharArray());
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context.getSocketFactory();
    }
}

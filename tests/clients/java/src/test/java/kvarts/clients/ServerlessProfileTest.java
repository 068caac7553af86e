package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lettuce.core.ReadFrom;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisURI;
import io.lettuce.core.SslOptions;
import io.lettuce.core.SslVerifyMode;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.ClusterTopologyRefreshOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.api.StatefulRedisClusterConnection;
import io.lettuce.core.cluster.models.partitions.RedisClusterNode;
import java.io.InputStream;
import java.nio.file.Files;
import java.security.KeyStore;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.redisson.Redisson;
import org.redisson.api.RLock;
import org.redisson.api.RedissonClient;
import org.redisson.config.Config;
import org.redisson.config.ReadMode;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisCluster;
import redis.clients.jedis.exceptions.JedisDataException;

/** Java's clients against the profile of a serverless endpoint: cluster mode over TLS, fully verified. */
class ServerlessProfileTest {

    private static final Duration LIMIT = Duration.ofSeconds(10);

    @AutoClose
    private static KvartsServer server;

    @BeforeAll
    static void start() {
        server = KvartsServer.serverless("serverless-profile");
    }

    @Test
    void lettuceRefreshesItsTopologyAndReadsFromTheReplica() {
        RedisClusterClient client = RedisClusterClient.create(RedisURI.Builder.redis("localhost", server.port())
                .withSsl(true)
                .withVerifyPeer(SslVerifyMode.FULL)
                .withTimeout(LIMIT)
                .build());
        client.setOptions(ClusterClientOptions.builder()
                .sslOptions(SslOptions.builder().trustManager(server.caCertificate().toFile()).build())
                .topologyRefreshOptions(ClusterTopologyRefreshOptions.builder()
                        .enableAllAdaptiveRefreshTriggers()
                        .build())
                .build());
        try (StatefulRedisClusterConnection<String, String> connection = client.connect()) {
            for (int round = 0; round < 3; round++) {
                client.refreshPartitions();
                Set<String> nodes = connection.getPartitions().stream()
                        .map(node -> node.getUri().getHost() + ":" + node.getUri().getPort())
                        .collect(Collectors.toSet());
                assertEquals(Set.of("localhost:" + server.port(), "localhost:" + server.readOnlyPort()), nodes);
            }
            RedisClusterNode primary = connection.getPartitions().stream()
                    .filter(node -> node.getUri().getPort() == server.port())
                    .findFirst()
                    .orElseThrow();
            assertEquals(16_384, primary.getSlots().size());
            for (int i = 0; i < 50; i++) {
                connection.sync().set("lettuce:" + i, "v" + i);
            }
            connection.setReadFrom(ReadFrom.REPLICA);
            for (int i = 0; i < 50; i++) {
                assertEquals("v" + i, connection.sync().get("lettuce:" + i));
            }
            RedisCommandExecutionException refused =
                    assertThrows(RedisCommandExecutionException.class, () -> connection.sync().configGet("*"));
            assertTrue(refused.getMessage().startsWith("ERR unknown command 'config'"), refused.getMessage());
        } finally {
            client.shutdown();
        }
    }

    @Test
    void jedisWritesAndReadsKeysOfManySlots() throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(server.caTrustStore())) {
            store.load(in, KvartsServer.TRUST_STORE_PASSWORD.toCharArray());
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        SSLParameters verified = new SSLParameters();
        verified.setEndpointIdentificationAlgorithm("HTTPS");
        DefaultJedisClientConfig config = DefaultJedisClientConfig.builder()
                .ssl(true)
                .sslSocketFactory(context.getSocketFactory())
                .sslParameters(verified)
                .build();
        try (JedisCluster redis = new JedisCluster(Set.of(new HostAndPort("localhost", server.port())), config)) {
            for (int i = 0; i < 50; i++) {
                assertEquals("OK", redis.set("jedis:" + i, "v" + i));
                assertEquals("v" + i, redis.get("jedis:" + i));
            }
            JedisDataException refused = assertThrows(JedisDataException.class, () -> redis.eval("return 1"));
            assertTrue(refused.getMessage().contains("without any input keys"), refused.getMessage());
        }
    }

    /** As it has to be set up there: the endpoint refuses WAIT. */
    @Test
    void redissonLocksWithoutWaitingForReplicas() throws InterruptedException {
        Config config = new Config();
        config.setCheckLockSyncedSlaves(false);
        config.setSslTruststore(toUrl());
        config.setSslTruststorePassword(KvartsServer.TRUST_STORE_PASSWORD);
        config.useClusterServers()
                .addNodeAddress("rediss://localhost:" + server.port())
                .setReadMode(ReadMode.SLAVE);
        RedissonClient redisson = Redisson.create(config);
        try {
            RLock lock = redisson.getLock("lock");
            assertTrue(lock.tryLock(5, 30, java.util.concurrent.TimeUnit.SECONDS));
            assertTrue(redisson.getLock("lock").isLocked());
            lock.unlock();
            assertFalse(lock.isLocked());
            Map<String, String> map = redisson.getMap("map");
            map.put("k", "v");
            assertEquals("v", map.get("k"));
        } finally {
            redisson.shutdown();
        }
    }

    private static java.net.URL toUrl() {
        try {
            return server.caTrustStore().toUri().toURL();
        } catch (java.net.MalformedURLException e) {
            throw new IllegalStateException(e);
        }
    }
}

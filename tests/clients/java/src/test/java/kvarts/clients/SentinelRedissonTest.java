package kvarts.clients;

import java.time.Duration;
import java.util.List;
import org.redisson.Redisson;
import org.redisson.api.BatchOptions;
import org.redisson.api.RBatch;
import org.redisson.api.RScript;
import org.redisson.api.RedissonClient;
import org.redisson.client.codec.StringCodec;
import org.redisson.config.Config;
import org.redisson.config.ReadMode;
import org.redisson.config.SentinelServersConfig;

/** Redisson, which reads from replicas by default; its script that only reads goes there as well. */
class SentinelRedissonTest extends SentinelTests {

    @Override
    String name() {
        return "redisson";
    }

    @Override
    Following connect(List<String> sentinels) {
        return new Client(client(sentinels, ReadMode.MASTER), client(sentinels, ReadMode.SLAVE));
    }

    private static RedissonClient client(List<String> sentinels, ReadMode mode) {
        Config config = new Config();
        SentinelServersConfig servers = config.setCodec(StringCodec.INSTANCE)
                .useSentinelServers()
                .setMasterName(MASTER)
                .setReadMode(mode)
                .setTimeout((int) TIMEOUT.toMillis());
        sentinels.forEach(sentinel -> servers.addSentinelAddress("redis://" + sentinel));
        return Redisson.create(config);
    }

    private record Client(RedissonClient primary, RedissonClient replica) implements FromReplicas {

        @Override
        public long write(String key, int replicas) {
            RBatch batch = primary.createBatch(
                    BatchOptions.defaults().sync(replicas, Duration.ofMillis(WAIT_MS)));
            batch.getBucket(key).setAsync(key);
            return batch.execute().getSyncedSlaves();
        }

        @Override
        public String read(String key) {
            return primary.<String>getBucket(key).get();
        }

        @Override
        public String info() {
            return info(primary, "server");
        }

        @Override
        public String readFromReplica(String key) {
            return replica.<String>getBucket(key).get();
        }

        @Override
        public String replicaInfo() {
            return info(replica, "replication");
        }

        private static String info(RedissonClient client, String section) {
            return client.getScript().eval(
                    RScript.Mode.READ_ONLY,
                    "return redis.call('INFO', ARGV[1])",
                    RScript.ReturnType.VALUE,
                    List.of(),
                    section);
        }

        @Override
        public void close() {
            primary.shutdown();
            replica.shutdown();
        }
    }
}

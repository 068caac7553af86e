package kvarts.clients;

import io.lettuce.core.ReadFrom;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.masterreplica.MasterReplica;
import io.lettuce.core.masterreplica.StatefulRedisMasterReplicaConnection;
import java.util.List;

/** Lettuce, which reads from replicas with {@link ReadFrom#REPLICA}. */
class SentinelLettuceTest extends SentinelTests {

    @Override
    String name() {
        return "lettuce";
    }

    @Override
    Following connect(List<String> sentinels) {
        RedisURI.Builder address = RedisURI.builder().withSentinelMasterId(MASTER).withTimeout(TIMEOUT);
        for (String sentinel : sentinels) {
            String[] parts = sentinel.split(":");
            address.withSentinel(parts[0], Integer.parseInt(parts[1]));
        }
        return new Client(address.build());
    }

    private static final class Client implements FromReplicas {

        private final RedisClient client = RedisClient.create();
        private final StatefulRedisMasterReplicaConnection<String, String> primary;
        private final StatefulRedisMasterReplicaConnection<String, String> replica;

        Client(RedisURI address) {
            primary = MasterReplica.connect(client, StringCodec.UTF8, address);
            replica = MasterReplica.connect(client, StringCodec.UTF8, address);
            replica.setReadFrom(ReadFrom.REPLICA);
        }

        @Override
        public long write(String key, int replicas) {
            primary.sync().set(key, key);
            return primary.sync().waitForReplication(replicas, WAIT_MS);
        }

        @Override
        public String read(String key) {
            return primary.sync().get(key);
        }

        @Override
        public String info() {
            return primary.sync().info("server");
        }

        @Override
        public String readFromReplica(String key) {
            return replica.sync().get(key);
        }

        @Override
        public String replicaInfo() {
            return replica.sync().info("replication");
        }

        @Override
        public void close() {
            primary.close();
            replica.close();
            client.shutdown();
        }
    }
}

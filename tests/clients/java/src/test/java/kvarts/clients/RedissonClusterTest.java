package kvarts.clients;

import org.redisson.config.Config;

/** Redisson against a cluster: one node that takes writes, and the read-only port as the replica it reads from. */
class RedissonClusterTest extends RedissonTests {

    @Override
    KvartsServer startServer() {
        return KvartsServer.cluster("redisson-cluster");
    }

    @Override
    void address(Config config, KvartsServer server) {
        config.useClusterServers().addNodeAddress("redis://localhost:" + server.port());
    }
}

package kvarts.clients;

import org.redisson.config.Config;

/** Redisson against one server. */
class RedissonSingleTest extends RedissonTests {

    @Override
    KvartsServer startServer() {
        return KvartsServer.standalone("redisson");
    }

    @Override
    void address(Config config, KvartsServer server) {
        config.useSingleServer().setAddress("redis://localhost:" + server.port());
    }
}

package kvarts.clients;

import java.util.List;
import org.springframework.data.redis.connection.RedisClusterConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceClientConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

/** Spring Data Redis against a cluster. */
class SpringDataClusterTest extends SpringDataTests {

    @Override
    KvartsServer startServer() {
        return KvartsServer.cluster("spring-data-cluster");
    }

    @Override
    LettuceConnectionFactory connections(KvartsServer server, LettuceClientConfiguration client) {
        return new LettuceConnectionFactory(new RedisClusterConfiguration(List.of("localhost:" + server.port())), client);
    }
}

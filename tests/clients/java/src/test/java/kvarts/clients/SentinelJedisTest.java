package kvarts.clients;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisClientConfig;
import redis.clients.jedis.JedisSentineled;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.Response;

/** Jedis, which knows the primary only. */
class SentinelJedisTest extends SentinelTests {

    @Override
    String name() {
        return "jedis";
    }

    @Override
    Following connect(List<String> sentinels) {
        JedisClientConfig config =
                DefaultJedisClientConfig.builder().timeoutMillis((int) TIMEOUT.toMillis()).build();
        Set<HostAndPort> addresses = sentinels.stream().map(HostAndPort::from).collect(Collectors.toSet());
        return new Client(new JedisSentineled(MASTER, config, addresses, config));
    }

    private record Client(JedisSentineled redis) implements Following {

        /** In a pipeline, as WAIT is about the writes of its connection. */
        @Override
        public long write(String key, int replicas) {
            try (Pipeline pipeline = redis.pipelined()) {
                Response<String> written = pipeline.set(key, key);
                Response<Long> count = pipeline.waitReplicas(replicas, WAIT_MS);
                pipeline.sync();
                written.get();
                return count.get();
            }
        }

        @Override
        public String read(String key) {
            return redis.get(key);
        }

        @Override
        public String info() {
            byte[] text = (byte[]) redis.sendCommand(Protocol.Command.INFO, "server");
            return new String(text, StandardCharsets.UTF_8);
        }

        @Override
        public void close() {
            redis.close();
        }
    }
}

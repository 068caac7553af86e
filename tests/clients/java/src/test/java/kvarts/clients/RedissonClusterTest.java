package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.redisson.api.BatchOptions;
import org.redisson.api.BatchResult;
import org.redisson.api.RBatch;
import org.redisson.api.RLock;
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

    @Test
    void aBatchIsKnownToTheReplica() {
        RBatch batch = one.createBatch(BatchOptions.defaults().sync(1, LIMIT));
        batch.getBucket("k").setAsync("v");
        BatchResult<?> result = batch.execute();
        assertEquals(1, result.getSyncedSlaves());
    }

    /** It waits for the replica where the server can: were WAIT refused, the lock would do without. */
    @Test
    void aLockWaitsForTheReplica() {
        long before = waits();
        RLock lock = one.getLock("lock");
        lock.lock();
        lock.unlock();
        assertTrue(waits() > before);
    }

    private long waits() {
        String statistics = (String) raw("INFO", "commandstats");
        assertFalse(Pattern.compile("cmdstat_wait(aof)?:.*_calls=[1-9]").matcher(statistics).find(), statistics);
        Matcher calls = Pattern.compile("cmdstat_wait:calls=(\\d+)").matcher(statistics);
        return calls.find() ? Long.parseLong(calls.group(1)) : 0;
    }
}

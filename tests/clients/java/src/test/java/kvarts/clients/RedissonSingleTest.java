package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.redisson.api.RLock;
import org.redisson.config.Config;

/** Redisson against one server. */
class RedissonSingleTest extends RedissonTests {

    @Override
    KvartsServer startServer() {
        return KvartsServer.withMovableClock("redisson");
    }

    @Override
    void address(Config config, KvartsServer server) {
        config.useSingleServer().setAddress("redis://localhost:" + server.port());
    }

    /** A lease of half an hour runs out when the server's clock is moved by as much. */
    @Test
    void aLeaseRunsOutWhenTheClockIsMoved() {
        RLock mine = one.getLock("leased");
        RLock other = two.getLock("leased");
        mine.lock(30, TimeUnit.MINUTES);
        assertFalse(other.tryLock());
        try {
            assertEquals("OK", raw("KVARTS", "CLOCK", "ADVANCE", Long.toString(TimeUnit.MINUTES.toMillis(30))));
            assertTrue(other.tryLock());
            assertFalse(mine.isHeldByCurrentThread());
        } finally {
            raw("KVARTS", "CLOCK", "SET", Long.toString(System.currentTimeMillis()));
            other.forceUnlock();
        }
    }
}

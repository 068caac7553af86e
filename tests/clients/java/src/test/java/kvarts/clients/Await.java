package kvarts.clients;

import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** Waits for what another process or thread is about to do. */
final class Await {

    private static final long POLL_NS = Duration.ofMillis(5).toNanos();

    private Await() {}

    /** Returns once the condition holds; an {@link AssertionError} that says what was awaited when it does not in time. */
    static void until(String what, Duration limit, BooleanSupplier condition) {
        long end = System.nanoTime() + limit.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not within " + limit + ": " + what);
            }
            LockSupport.parkNanos(POLL_NS);
        }
    }
}

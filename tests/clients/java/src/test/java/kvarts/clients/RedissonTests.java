package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import java.util.function.LongSupplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.redisson.Redisson;
import org.redisson.api.BatchOptions;
import org.redisson.api.LockOptions;
import org.redisson.api.RBatch;
import org.redisson.api.RBlockingQueue;
import org.redisson.api.RCountDownLatch;
import org.redisson.api.RDelayedQueue;
import org.redisson.api.RLock;
import org.redisson.api.RMapCache;
import org.redisson.api.RPermitExpirableSemaphore;
import org.redisson.api.RRateLimiter;
import org.redisson.api.RReadWriteLock;
import org.redisson.api.RSemaphore;
import org.redisson.api.RStream;
import org.redisson.api.RTopic;
import org.redisson.api.RTransaction;
import org.redisson.api.RateType;
import org.redisson.api.RedissonClient;
import org.redisson.api.TransactionOptions;
import org.redisson.api.map.event.EntryExpiredListener;
import org.redisson.api.stream.AutoClaimResult;
import org.redisson.api.stream.PendingResult;
import org.redisson.api.stream.StreamAddArgs;
import org.redisson.api.stream.StreamCreateGroupArgs;
import org.redisson.api.stream.StreamMessageId;
import org.redisson.api.stream.StreamReadGroupArgs;
import org.redisson.config.Config;

/**
 * Redisson's locks, queues and collections, each between two clients. The subclasses say how the clients reach the
 * server.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class RedissonTests {

    static final Duration LIMIT = Duration.ofSeconds(20);

    private static final long WATCHDOG_MS = 1_500;

    RedissonClient one;
    RedissonClient two;
    private KvartsServer server;
    private ExecutorService threads;

    abstract KvartsServer startServer();

    /** Sets the addresses and nothing else: what the clients do by default is under test. */
    abstract void address(Config config, KvartsServer server);

    @BeforeAll
    void start() {
        threads = Executors.newCachedThreadPool();
        server = startServer();
        one = client();
        two = client();
    }

    @AfterAll
    void stop() {
        try (KvartsServer closing = server) {
            for (RedissonClient client : new RedissonClient[] {one, two}) {
                if (client != null) {
                    client.shutdown(0, LIMIT.toSeconds(), TimeUnit.SECONDS);
                }
            }
            threads.shutdownNow();
        }
    }

    @BeforeEach
    void empty() {
        raw("FLUSHALL");
    }

    /** The locks of one name; what they have in common is tested on each. */
    enum Kind {
        PLAIN(client -> client.getLock("lock")),
        FAIR(client -> client.getFairLock("lock")),
        SPIN(client -> client.getSpinLock(
                "lock", new LockOptions.ExponentialBackOff().initialDelay(1).maxDelay(32).multiplier(2))),
        FENCED(client -> client.getFencedLock("lock")),
        WRITE(client -> client.getReadWriteLock("lock").writeLock()),
        MULTI(client -> client.getMultiLock(client.getLock("first"), client.getLock("second"), client.getLock("third")));

        private final Function<RedissonClient, RLock> of;

        Kind(Function<RedissonClient, RLock> of) {
            this.of = of;
        }
    }

    @ParameterizedTest
    @EnumSource
    void aLockExcludesTheOtherClientUntilItIsReleased(Kind kind) throws Exception {
        RLock mine = kind.of.apply(one);
        RLock theirs = kind.of.apply(two);
        mine.lock();
        assertFalse(beside(() -> theirs.tryLock()));
        assertFalse(beside(() -> theirs.tryLock(50, TimeUnit.MILLISECONDS)));
        mine.unlock();
        assertTrue(beside(() -> {
            boolean locked = theirs.tryLock();
            theirs.unlock();
            return locked;
        }));
        for (String key : List.of("lock", "first", "second", "third")) {
            assertEquals(0L, raw("EXISTS", key));
        }
    }

    @ParameterizedTest
    @EnumSource
    void aLockThatIsWaitedForIsTakenWhenItIsReleased(Kind kind) throws Exception {
        RLock mine = kind.of.apply(one);
        RLock theirs = kind.of.apply(two);
        mine.lock();
        Future<Boolean> waiting = threads.submit(() -> {
            boolean locked = theirs.tryLock(LIMIT.toMillis(), 5_000, TimeUnit.MILLISECONDS);
            theirs.unlock();
            return locked;
        });
        // The spin lock asks again and again; the others are told.
        if (kind != Kind.SPIN) {
            Await.until("someone waits to be told of a release", LIMIT, () -> subscribers() > 0);
        }
        assertFalse(waiting.isDone());
        mine.unlock();
        assertTrue(get(waiting));
    }

    @ParameterizedTest
    @EnumSource
    void aLockCountsWhatItExcludes(Kind kind) throws Exception {
        int[] count = {0};
        List<Future<?>> working = new ArrayList<>();
        for (RedissonClient client : List.of(one, two, one, two)) {
            working.add(threads.submit(() -> {
                for (int i = 0; i < 10; i++) {
                    RLock lock = kind.of.apply(client);
                    lock.lock();
                    try {
                        int before = count[0];
                        Thread.yield();
                        count[0] = before + 1;
                    } finally {
                        lock.unlock();
                    }
                }
            }));
        }
        for (Future<?> future : working) {
            get(future);
        }
        assertEquals(40, count[0]);
    }

    @Test
    void theWatchdogKeepsALockOfNoLeaseTime() {
        RLock lock = one.getLock("lock");
        lock.lock();
        try {
            for (int i = 0; i < 4; i++) {
                awaitRise("the lease is renewed", () -> (Long) raw("PTTL", "lock"));
            }
            assertTrue(lock.isHeldByCurrentThread());
        } finally {
            lock.unlock();
        }
    }

    @Test
    void aLeaseTimeEndsALock() throws Exception {
        RLock lock = one.getLock("lock");
        assertTrue(lock.tryLock(0, 50, TimeUnit.MILLISECONDS));
        RLock theirs = two.getLock("lock");
        assertTrue(beside(() -> theirs.tryLock(LIMIT.toMillis(), 5_000, TimeUnit.MILLISECONDS)));
        assertFalse(lock.isHeldByCurrentThread());
        assertThrows(IllegalMonitorStateException.class, lock::unlock);
        assertTrue(theirs.forceUnlock());
    }

    @Test
    void aLockIsReentrant() {
        RLock lock = one.getLock("lock");
        lock.lock();
        lock.lock();
        assertEquals(2, lock.getHoldCount());
        lock.unlock();
        assertTrue(lock.isLocked());
        lock.unlock();
        assertFalse(lock.isLocked());
    }

    @Test
    void aFairLockGoesToWhoeverAskedFirst() throws Exception {
        RLock mine = one.getFairLock("fair");
        mine.lock();
        BlockingQueue<Integer> order = new LinkedBlockingQueue<>();
        List<Future<?>> waiting = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            int number = i;
            RLock lock = (i % 2 == 0 ? two : one).getFairLock("fair");
            waiting.add(threads.submit(() -> {
                lock.lock();
                order.add(number);
                lock.unlock();
            }));
            Await.until("it stands in the queue", LIMIT, () ->
                    (Long) raw("LLEN", "redisson_lock_queue:{fair}") == number + 1);
        }
        mine.unlock();
        for (Future<?> future : waiting) {
            get(future);
        }
        assertEquals(List.of(0, 1, 2, 3), List.copyOf(order));
    }

    @Test
    void readersShareALockAndAWriterWaitsForThem() throws Exception {
        RReadWriteLock mine = one.getReadWriteLock("shared");
        RReadWriteLock theirs = two.getReadWriteLock("shared");
        mine.readLock().lock();
        Future<Boolean> writing = threads.submit(() -> {
            assertTrue(theirs.readLock().tryLock());
            theirs.readLock().unlock();
            assertFalse(theirs.writeLock().tryLock());
            theirs.writeLock().lock();
            assertFalse(beside(() -> one.getReadWriteLock("shared").readLock().tryLock()));
            theirs.writeLock().unlock();
            return true;
        });
        Await.until("the writer waits", LIMIT, () -> subscribers() > 0);
        mine.readLock().unlock();
        assertTrue(get(writing));
    }

    @Test
    void aSemaphoreGivesItsPermitsOnce() throws Exception {
        RSemaphore mine = one.getSemaphore("semaphore");
        RSemaphore theirs = two.getSemaphore("semaphore");
        assertTrue(mine.trySetPermits(2));
        assertFalse(theirs.trySetPermits(5));
        mine.acquire(2);
        assertFalse(theirs.tryAcquire());
        Future<Boolean> waiting = threads.submit(() -> theirs.tryAcquire(1, LIMIT));
        Await.until("someone waits for a permit", LIMIT, () -> subscribers() > 0);
        mine.release();
        assertTrue(get(waiting));
        assertEquals(0, mine.availablePermits());
        theirs.release();
        mine.release();
        assertEquals(2, mine.availablePermits());
    }

    @Test
    void aPermitThatIsNotGivenBackExpires() throws Exception {
        RPermitExpirableSemaphore mine = one.getPermitExpirableSemaphore("permits");
        RPermitExpirableSemaphore theirs = two.getPermitExpirableSemaphore("permits");
        assertTrue(mine.trySetPermits(1));
        String permit = mine.tryAcquire(0, 100, TimeUnit.MILLISECONDS);
        assertNotNull(permit);
        assertNull(theirs.tryAcquire());
        String next = theirs.tryAcquire(LIMIT.toMillis(), TimeUnit.MILLISECONDS);
        assertNotNull(next);
        assertFalse(mine.tryRelease(permit));
        theirs.release(next);
        assertEquals(1, mine.availablePermits());
    }

    @Test
    void aLatchOpensWhenCountedDown() throws Exception {
        RCountDownLatch mine = one.getCountDownLatch("latch");
        assertTrue(mine.trySetCount(2));
        Future<Boolean> waiting =
                threads.submit(() -> two.getCountDownLatch("latch").await(LIMIT.toMillis(), TimeUnit.MILLISECONDS));
        Await.until("someone waits at the latch", LIMIT, () -> subscribers() > 0);
        mine.countDown();
        mine.countDown();
        assertTrue(get(waiting));
    }

    @Test
    void aRateLimiterLimitsTheTwoClientsTogether() {
        RRateLimiter hourly = one.getRateLimiter("hourly");
        assertTrue(hourly.trySetRate(RateType.OVERALL, 3, Duration.ofHours(1)));
        RRateLimiter same = two.getRateLimiter("hourly");
        assertTrue(hourly.tryAcquire(2));
        assertFalse(same.tryAcquire(2));
        assertEquals(1, same.availablePermits());
        assertTrue(same.tryAcquire());
        assertFalse(hourly.tryAcquire());
    }

    @Test
    void aRateLimiterGivesPermitsAgainWhenTheIntervalIsOver() {
        RRateLimiter limiter = one.getRateLimiter("quick");
        assertTrue(limiter.trySetRate(RateType.OVERALL, 1, Duration.ofMillis(100)));
        for (int i = 0; i < 3; i++) {
            assertTrue(limiter.tryAcquire(LIMIT));
        }
    }

    @Test
    void anEntryOfAMapCacheExpiresAlone() throws Exception {
        RMapCache<String, Integer> map = one.getMapCache("cache");
        BlockingQueue<String> expired = new LinkedBlockingQueue<>();
        RMapCache<String, Integer> seen = two.getMapCache("cache");
        int listener = seen.addListener((EntryExpiredListener<String, Integer>) event ->
                expired.add(event.getKey() + " was " + event.getValue()));
        assertNull(map.put("kept", 1));
        assertNull(map.put("long", 2, 1, TimeUnit.HOURS));
        assertNull(map.put("idle", 3, 1, TimeUnit.HOURS, 1, TimeUnit.HOURS));
        assertNull(map.put("short", 4, 100, TimeUnit.MILLISECONDS));
        assertEquals(4, seen.getWithTTLOnly("short"));
        Await.until("the entry is gone", LIMIT, () -> seen.get("short") == null);
        assertEquals("short was 4", expired.poll(LIMIT.toSeconds(), TimeUnit.SECONDS));
        assertEquals(Map.of("kept", 1, "long", 2, "idle", 3), seen.readAllMap());
        assertEquals(3, seen.size());
        assertTrue(seen.remainTimeToLive("long") > Duration.ofMinutes(59).toMillis());
        assertEquals(1, map.put("kept", 5));
        assertEquals(5, map.remove("kept"));
        seen.removeListener(listener);
        map.destroy();
        seen.destroy();
    }

    @Test
    void aDelayedQueueHandsOverWhatIsDueInItsOrder() throws Exception {
        RBlockingQueue<String> target = two.getBlockingQueue("due");
        RDelayedQueue<String> delayed = one.getDelayedQueue(one.getBlockingQueue("due"));
        Future<List<String>> taking = threads.submit(() -> List.of(take(target), take(target), take(target)));
        delayed.offer("third", 300, TimeUnit.MILLISECONDS);
        delayed.offer("first", 100, TimeUnit.MILLISECONDS);
        delayed.offer("second", 200, TimeUnit.MILLISECONDS);
        delayed.offer("never", 1, TimeUnit.HOURS);
        assertEquals(List.of("first", "second", "third"), get(taking));
        assertEquals(List.of("never"), delayed.readAll());
        assertTrue(delayed.remove("never"));
        delayed.destroy();
    }

    @Test
    void aTransactionIsDoneAsOneOrNotAtAll() {
        one.getBucket("{t}bucket").set("before");
        RTransaction transaction = one.createTransaction(TransactionOptions.defaults());
        transaction.getBucket("{t}bucket").set("after");
        transaction.<String, String>getMap("{t}map").put("k", "v");
        assertEquals("before", two.getBucket("{t}bucket").get());
        transaction.commit();
        assertEquals("after", two.getBucket("{t}bucket").get());
        assertEquals("v", two.getMap("{t}map").get("k"));
        RTransaction undone = one.createTransaction(TransactionOptions.defaults());
        undone.getBucket("{t}bucket").set("never");
        undone.rollback();
        assertEquals("after", two.getBucket("{t}bucket").get());
    }

    @Test
    void aBlockingQueueWakesWhoWaits() throws Exception {
        Future<String> taking = threads.submit(() -> take(two.getBlockingQueue("queue")));
        Await.until("a client is blocked", LIMIT, () -> ((String) raw("INFO", "clients")).contains("blocked_clients:1\r"));
        assertTrue(one.<String>getBlockingQueue("queue").offer("job"));
        assertEquals("job", get(taking));
    }

    @Test
    void messagesOfATopicArrive() throws InterruptedException {
        BlockingQueue<String> messages = new LinkedBlockingQueue<>();
        RTopic topic = two.getTopic("news");
        int listener = topic.addListener(String.class, (channel, message) -> messages.add(channel + ": " + message));
        assertEquals(1, one.getTopic("news").publish("one"));
        assertEquals("news: one", messages.poll(LIMIT.toSeconds(), TimeUnit.SECONDS));
        topic.removeListener(listener);
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "REDIS_READ_ATOMIC")
    void aBatchOf500IsAnsweredInOrder(BatchOptions.ExecutionMode mode) {
        RBatch batch = one.createBatch(BatchOptions.defaults().executionMode(mode));
        for (int i = 0; i < 500; i++) {
            batch.getAtomicLong("counter").incrementAndGetAsync();
        }
        assertEquals(IntStream.rangeClosed(1, 500).mapToObj(Long::valueOf).toList(), batch.execute().getResponses());
    }

    @Test
    void aGroupSharesAStream() throws Exception {
        RStream<String, String> mine = one.getStream("events");
        RStream<String, String> theirs = two.getStream("events");
        mine.createGroup(StreamCreateGroupArgs.name("shop").id(StreamMessageId.ALL).makeStream());
        Future<Map<StreamMessageId, Map<String, String>>> reading = threads.submit(() ->
                theirs.readGroup("shop", "anna", StreamReadGroupArgs.neverDelivered().count(1).timeout(LIMIT)));
        Await.until("a client is blocked", LIMIT, () -> ((String) raw("INFO", "clients")).contains("blocked_clients:1\r"));
        StreamMessageId first = mine.add(StreamAddArgs.entry("item", "tea"));
        assertEquals(Map.of(first, Map.of("item", "tea")), get(reading));
        StreamMessageId second = mine.add(StreamAddArgs.entries("item", "milk", "count", "2"));
        assertEquals(
                Map.of(second, Map.of("item", "milk", "count", "2")),
                mine.readGroup("shop", "bert", StreamReadGroupArgs.neverDelivered()));

        PendingResult pending = mine.getPendingInfo("shop");
        assertEquals(2, pending.getTotal());
        assertEquals(Map.of("anna", 1L, "bert", 1L), pending.getConsumerNames());
        assertEquals(1, mine.ack("shop", second));
        assertEquals(
                Map.of(first, Map.of("item", "tea")), mine.claim("shop", "bert", 0, TimeUnit.MILLISECONDS, first));
        AutoClaimResult<String, String> claimed =
                theirs.autoClaim("shop", "anna", 0, TimeUnit.MILLISECONDS, StreamMessageId.MIN, 10);
        assertEquals(Map.of(first, Map.of("item", "tea")), claimed.getMessages());
        assertEquals(1, theirs.ack("shop", first));
        assertEquals(0, theirs.getPendingInfo("shop").getTotal());
        assertEquals("shop", mine.listGroups().get(0).getName());
        assertEquals(2, mine.listConsumers("shop").size());
        assertEquals(2, mine.size());
        assertEquals(2, mine.range(StreamMessageId.MIN, StreamMessageId.MAX).size());
        assertEquals(second, mine.getInfo().getLastGeneratedId());
        mine.removeGroup("shop");
    }

    private RedissonClient client() {
        Config config = new Config();
        config.setLockWatchdogTimeout(WATCHDOG_MS);
        // The least there is, in seconds: how often a map cache's expired entries are looked for.
        config.setMinCleanUpDelay(1);
        // A machine of two cores has less to give than the default of 32.
        config.setNettyThreads(4);
        address(config, server);
        return Redisson.create(config);
    }

    private <T> T beside(Callable<T> action) throws Exception {
        return get(threads.submit(action));
    }

    private static <T> T get(Future<T> future) throws InterruptedException, ExecutionException, TimeoutException {
        return future.get(LIMIT.toSeconds() + 5, TimeUnit.SECONDS);
    }

    private static <T> T take(RBlockingQueue<T> queue) throws InterruptedException {
        return queue.poll(LIMIT.toSeconds(), TimeUnit.SECONDS);
    }

    private static void awaitRise(String what, LongSupplier value) {
        long[] before = {value.getAsLong()};
        Await.until(what, LIMIT, () -> {
            long now = value.getAsLong();
            boolean rose = now > before[0];
            before[0] = now;
            return rose;
        });
    }

    Object raw(String... arguments) {
        try (RawClient raw = server.raw()) {
            return raw.call(arguments);
        }
    }

    /** How many subscriptions there are to channels of what waits, sharded or not. */
    private long subscribers() {
        try (RawClient raw = server.raw()) {
            return raw.callList("PUBSUB", "CHANNELS", "redisson_*").size()
                    + raw.callList("PUBSUB", "SHARDCHANNELS", "redisson_*").size();
        }
    }
}

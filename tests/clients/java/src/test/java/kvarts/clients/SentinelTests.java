package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;

/** A client follows a failover by Sentinel. sentinel.py, two folders above this project's sources, runs it and says how. */
@EnabledIfEnvironmentVariable(named = "KVARTS_SENTINELS", matches = ".+")
@Timeout(value = 240, unit = TimeUnit.SECONDS)
abstract class SentinelTests {

    static final String MASTER = "mymaster";
    /** Longer than a machine with much to do is late; a primary that is killed closes its connections at once. */
    static final Duration TIMEOUT = Duration.ofSeconds(10);

    static final int WAIT_MS = 2_000;

    private static final int KEYS_BEFORE = 100;
    private static final int WRITES_AFTER = 50;
    private static final Duration LIMIT = Duration.ofSeconds(50);
    private static final long PAUSE_NS = Duration.ofMillis(5).toNanos();

    /** What the client does; any of it may throw while there is no primary. */
    interface Following extends AutoCloseable {

        /** Sets a key to its own name; how many replicas have it, after waiting for so many of them. */
        long write(String key, int replicas);

        String read(String key);

        /** INFO server, of the primary. */
        String info();

        @Override
        void close();
    }

    /** A client that also reads from replicas. */
    interface FromReplicas extends Following {

        String readFromReplica(String key);

        /** INFO replication, of the server that a read goes to. */
        String replicaInfo();
    }

    abstract String name();

    abstract Following connect(List<String> sentinels);

    @Test
    void itFollows() throws IOException {
        try (Following client = connect(Arrays.asList(System.getenv("KVARTS_SENTINELS").split(",")))) {
            List<String> acknowledged = new ArrayList<>();
            for (int i = 0; i < KEYS_BEFORE; i++) {
                String key = name() + ":before:" + i;
                assertEquals(2, client.write(key, 2));
                acknowledged.add(key);
            }
            assertTrue(readsFromReplica(client, acknowledged.get(KEYS_BEFORE - 1)));
            report("ready");

            writeUntilFollowed(client, acknowledged);
            List<String> lost = acknowledged.stream().filter(key -> !key.equals(client.read(key))).toList();
            assertEquals(List.of(), lost);
            String last = acknowledged.get(acknowledged.size() - 1);
            Await.until("a replica has the last write", LIMIT, () -> {
                try {
                    return readsFromReplica(client, last);
                } catch (RuntimeException noReplicaYet) {
                    return false;
                }
            });
            report("done");
        }
    }

    /** Adds the keys that every replica had which there was: both of them, and one once the primary was dead. */
    private void writeUntilFollowed(Following client, List<String> acknowledged) {
        long end = 0;
        int followed = 0;
        RuntimeException last = null;
        for (int number = 1; followed < WRITES_AFTER; number++) {
            String key = name() + ":" + number;
            String killed = killed();
            if (killed != null && end == 0) {
                end = System.nanoTime() + LIMIT.toNanos();
            }
            if (killed != null && System.nanoTime() > end) {
                throw new AssertionError(followed + " writes to the new primary, " + number + " tries", last);
            }
            int needed = killed == null ? 2 : 1;
            try {
                if (client.write(key, needed) >= needed) {
                    acknowledged.add(key);
                    followed += killed != null && !client.info().contains("tcp_port:" + killed + "\r\n") ? 1 : 0;
                }
            } catch (RuntimeException e) {
                last = e;
            }
            LockSupport.parkNanos(PAUSE_NS);
        }
    }

    private static boolean readsFromReplica(Following client, String key) {
        return !(client instanceof FromReplicas reader)
                || key.equals(reader.readFromReplica(key)) && reader.replicaInfo().contains("role:slave");
    }

    /** The port of the primary that was killed; null before. */
    private static String killed() {
        try {
            return Files.readString(reports().resolve("killed"));
        } catch (NoSuchFileException notYet) {
            return null;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void report(String word) throws IOException {
        Files.createFile(reports().resolve(name() + "." + word));
    }

    private static Path reports() {
        return Path.of(System.getenv("KVARTS_REPORTS"));
    }
}

package kvarts.clients;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A real server, started from the binary that KVARTS_BIN names, on two free ports of the loopback interface and a data
 * directory of its own. Its log is {@code target/server-logs/NAME.log}.
 */
final class KvartsServer implements AutoCloseable {

    /** What {@code tls/ca.p12} is locked with. */
    static final String TRUST_STORE_PASSWORD = "kvarts";

    private static final Duration START_LIMIT = Duration.ofSeconds(30);
    private static final long STOP_LIMIT_S = 10;
    private static final int LOG_LINES_SHOWN = 40;

    private final Process process;
    private final Thread endWithThisJvm;
    private final Path directory;
    private final Path log;
    private final int port;
    private final int readOnlyPort;

    /** Starts one server that is no cluster. */
    static KvartsServer standalone(String name) {
        return new KvartsServer(name, List.of());
    }

    /** Starts one server that is no cluster, and whose clock can be moved by KVARTS CLOCK. */
    static KvartsServer withMovableClock(String name) {
        return new KvartsServer(name, List.of("--enable-debug-command", "local"));
    }

    /** Starts a cluster: one node with every slot, and the read-only port as its replica. */
    static KvartsServer cluster(String name) {
        return new KvartsServer(name, List.of("--cluster-enabled", "yes"));
    }

    /** Starts what looks like a serverless endpoint of a cloud: a cluster that speaks TLS only. */
    static KvartsServer serverless(String name, String... flags) {
        List<String> all = new ArrayList<>(List.of("--profile", "elasticache-serverless"));
        all.addAll(List.of(flags));
        return new KvartsServer(name, all);
    }

    private KvartsServer(String name, List<String> flags) {
        String binary = System.getenv("KVARTS_BIN");
        if (binary == null || binary.isBlank()) {
            throw new IllegalStateException("KVARTS_BIN must name the server's binary");
        }
        try {
            int[] ports = twoFreePorts();
            port = ports[0];
            readOnlyPort = ports[1];
            directory = Files.createTempDirectory("kvarts-" + name + "-");
            log = Files.createDirectories(Path.of("target", "server-logs")).resolve(name + ".log");
            List<String> command = new ArrayList<>(List.of(
                    binary,
                    "--port", Integer.toString(port),
                    "--read-only-port", Integer.toString(readOnlyPort),
                    "--dir", directory.toString()));
            command.addAll(flags);
            process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        endWithThisJvm = new Thread(process::destroyForcibly);
        Runtime.getRuntime().addShutdownHook(endWithThisJvm);
        try {
            Await.until("the server answers on both ports", START_LIMIT, () -> {
                if (!process.isAlive()) {
                    throw new IllegalStateException("the server ended with " + process.exitValue());
                }
                boolean overTls = flags.contains("elasticache-serverless");
                return answers(port, overTls) && answers(readOnlyPort, overTls);
            });
        } catch (RuntimeException | AssertionError e) {
            discard();
            throw new IllegalStateException("the server did not start; the end of its log:\n" + endOfLog(), e);
        }
    }

    int port() {
        return port;
    }

    int readOnlyPort() {
        return readOnlyPort;
    }

    /** A plain connection to the read-write port. */
    RawClient raw() {
        return RawClient.plain(port);
    }

    /** The CA's certificate, PEM. */
    Path caCertificate() {
        return caFile("ca.crt");
    }

    /** The CA's certificate in a PKCS12 trust store. */
    Path caTrustStore() {
        return caFile("ca.p12");
    }

    /** The server makes its CA when the first TLS client comes, so this is that client. */
    private Path caFile(String name) {
        Path file = directory.resolve("tls").resolve(name);
        if (!Files.exists(file)) {
            RawClient.tls(port).close();
            Await.until(file + " is there", START_LIMIT, () -> Files.exists(file));
        }
        return file;
    }

    /** Asks the server to end; one that does not within the limit is killed, and that is a failure. */
    @Override
    public void close() {
        process.destroy();
        boolean ended = false;
        try {
            ended = process.waitFor(STOP_LIMIT_S, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            discard();
        }
        if (!ended) {
            throw new IllegalStateException("the server did not end when asked to; the end of its log:\n" + endOfLog());
        }
    }

    private void discard() {
        process.destroyForcibly();
        Runtime.getRuntime().removeShutdownHook(endWithThisJvm);
        deleteTree(directory);
    }

    private static boolean answers(int port, boolean overTls) {
        try (RawClient client = overTls ? RawClient.tls(port) : RawClient.plain(port)) {
            return "PONG".equals(client.call("PING"));
        } catch (UncheckedIOException e) {
            return false;
        }
    }

    /**
     * Below the range the kernel takes outgoing ports from, so that no client connection gets in between, and low enough
     * that the cluster bus port (10000 above) is a port too.
     */
    private static int[] twoFreePorts() throws IOException {
        List<ServerSocket> held = new ArrayList<>();
        try {
            while (held.size() < 2) {
                ServerSocket socket = new ServerSocket();
                held.add(socket);
                try {
                    socket.bind(new InetSocketAddress("127.0.0.1", ThreadLocalRandom.current().nextInt(20_000, 32_000)));
                } catch (IOException taken) {
                    held.remove(socket);
                    socket.close();
                }
            }
            return new int[] {held.get(0).getLocalPort(), held.get(1).getLocalPort()};
        } finally {
            for (ServerSocket socket : held) {
                socket.close();
            }
        }
    }

    private String endOfLog() {
        try {
            List<String> lines = Files.readAllLines(log);
            return String.join("\n", lines.subList(Math.max(0, lines.size() - LOG_LINES_SHOWN), lines.size()));
        } catch (IOException e) {
            return "(no log: " + e.getMessage() + ")";
        }
    }

    private static void deleteTree(Path directory) {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}

package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.StringReader;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.session.SessionRepository;
import org.springframework.session.data.redis.RedisIndexedSessionRepository;

/** What README shows of Java is run as it stands there, but for the ports and the folder of the certificates. */
class ReadmeTest {

    private static final long LIMIT_S = 60;

    /** Left out in README, as it says. */
    private static final String IMPORTS = """
            import io.lettuce.core.ReadFrom;
            import io.lettuce.core.cluster.ClusterClientOptions;
            import io.lettuce.core.cluster.RedisClusterClient;
            import io.lettuce.core.cluster.api.StatefulRedisClusterConnection;
            import java.io.File;
            import java.util.Set;
            import org.redisson.Redisson;
            import org.redisson.api.RedissonClient;
            import org.redisson.client.codec.StringCodec;
            import org.redisson.config.Config;
            import redis.clients.jedis.DefaultJedisClientConfig;
            import redis.clients.jedis.HostAndPort;
            import redis.clients.jedis.JedisClientConfig;
            import redis.clients.jedis.JedisCluster;
            """;

    @TempDir
    private static Path folder;

    private static String page;

    @BeforeAll
    static void read() throws IOException {
        page = Files.readString(Path.of("..", "..", "..", "README.md"));
    }

    @ParameterizedTest
    @CsvSource({
        "Lettuce, io.lettuce.core.SslOptions",
        "Redisson, org.redisson.config.SslVerificationMode",
        "Jedis, 'redis.clients.jedis.SslOptions,redis.clients.jedis.SslVerifyMode'"
    })
    void aProgramOverTlsWritesAndReads(String client, String furtherImports) throws Exception {
        List<KvartsServer> servers = List.of(
                KvartsServer.cluster("readme-" + client), KvartsServer.serverless("readme-profile-" + client));
        try {
            for (KvartsServer server : servers) {
                Path place = Files.createDirectories(folder.resolve(client + server.port()));
                Path certificates = Files.createDirectories(place.resolve("certs"));
                Files.copy(server.caCertificate(), certificates.resolve("ca.crt"));
                Files.copy(server.caTrustStore(), certificates.resolve("ca.p12"));
                compile(place, furtherImports, block(client, "java").replace("6379", Integer.toString(server.port())));
                List<String> printed = run(place);
                assertTrue(printed.contains("ada"), () -> String.join("\n", printed));
            }
        } finally {
            servers.forEach(KvartsServer::close);
        }
    }

    @Test
    void aPlainApplicationNeedsTwoProperties() {
        try (KvartsServer server = KvartsServer.standalone("readme-plain")) {
            useASession(properties(server, block("Plain:", "properties")));
        }
    }

    @Test
    void anApplicationOverTlsTrustsThePemFileOrTheTrustStore() {
        List<KvartsServer> servers = List.of(
                KvartsServer.cluster("readme-tls"), KvartsServer.serverless("readme-tls-profile"));
        try {
            for (KvartsServer server : servers) {
                Map<String, String> pem = properties(server, block("TLS and cluster,", "properties"));
                useASession(pem);
                String rest = page.substring(page.indexOf(block("TLS and cluster,", "properties")));
                Map<String, String> store = properties(server, within(rest.substring(rest.indexOf("PKCS #12")), "properties"));
                pem.keySet().removeIf(name -> name.contains(".pem."));
                store.putAll(pem);
                useASession(store);
            }
        } finally {
            servers.forEach(KvartsServer::close);
        }
    }

    @Test
    void anIndexedRepositoryNeedsOneMore() {
        try (KvartsServer server = KvartsServer.standalone("readme-indexed");
                ConfigurableApplicationContext application =
                        Applications.start(properties(server, block("Indexed sessions,", "properties")))) {
            assertTrue(application.getBean(SessionRepository.class) instanceof RedisIndexedSessionRepository);
            keepAValue(application);
        }
    }

    /** One Sentinel, that of Redis or Valkey in the PATH, stands for the three of the page. */
    @Test
    void anApplicationFindsThePrimaryBySentinel() throws Exception {
        Process sentinel = null;
        try (KvartsServer server = KvartsServer.standalone("readme-sentinel")) {
            try (RawClient raw = server.raw()) {
                raw.call("CONFIG", "SET", "requirepass", "secret");
            }
            int port = server.port() + 1 == server.readOnlyPort() ? server.port() + 2 : server.port() + 1;
            Path configuration = Files.writeString(folder.resolve("sentinel.conf"), String.join("\n",
                    "port " + port,
                    "bind 127.0.0.1",
                    "requirepass secret",
                    "sentinel monitor mymaster 127.0.0.1 " + server.port() + " 1",
                    "sentinel auth-pass mymaster secret",
                    ""));
            sentinel = new ProcessBuilder("redis-server", configuration.toString(), "--sentinel")
                    .redirectErrorStream(true)
                    .redirectOutput(folder.resolve("sentinel.log").toFile())
                    .start();
            Await.until("the Sentinel listens", Duration.ofSeconds(LIMIT_S), () -> listens(port));
            Map<String, String> properties = properties(server, block("Sentinel,", "properties"));
            properties.put("spring.data.redis.sentinel.nodes", "127.0.0.1:" + port);
            useASession(properties);
        } finally {
            if (sentinel != null) {
                sentinel.destroy();
                sentinel.waitFor();
            }
        }
    }

    private static boolean listens(int port) {
        try (Socket socket = new Socket("127.0.0.1", port)) {
            return socket.isConnected();
        } catch (IOException e) {
            return false;
        }
    }

    private static void useASession(Map<String, String> properties) {
        try (ConfigurableApplicationContext application = Applications.start(properties)) {
            keepAValue(application);
        }
    }

    private static void keepAValue(ConfigurableApplicationContext application) {
        Browser browser = new Browser(application);
        browser.post("/value?value=kept");
        assertEquals("kept", browser.get("/value"));
    }

    /** The properties of a block, with the server's ports and certificates. */
    private static Map<String, String> properties(KvartsServer server, String block) {
        Properties read = new Properties();
        try {
            read.load(new StringReader(block));
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
        Map<String, String> properties = new HashMap<>();
        read.stringPropertyNames().forEach(name -> properties.put(name, read.getProperty(name)
                .replace("6379", Integer.toString(server.port()))
                .replace("file:certs/ca.crt", "file:" + server.caCertificate())
                .replace("file:certs/ca.p12", "file:" + server.caTrustStore())));
        return properties;
    }

    /** The first block of a language behind a bold name. */
    private static String block(String name, String language) {
        int at = page.indexOf("\n**" + name);
        assertTrue(at >= 0, () -> "README names " + name);
        return within(page.substring(at), language);
    }

    private static String within(String text, String language) {
        String begin = "\n```" + language + "\n";
        int at = text.indexOf(begin) + begin.length();
        return text.substring(at, text.indexOf("\n```\n", at));
    }

    private static void compile(Path place, String furtherImports, String body) throws IOException {
        StringBuilder source = new StringBuilder(IMPORTS);
        for (String one : furtherImports.split(",")) {
            source.append("import ").append(one).append(";\n");
        }
        source.append("class Program { public static void main(String[] args) throws Exception {\n")
                .append(body)
                .append("\n}}\n");
        Path file = Files.writeString(place.resolve("Program.java"), source);
        int status = ToolProvider.getSystemJavaCompiler()
                .run(null, null, null, "-cp", System.getProperty("java.class.path"), "-d", place.toString(), file.toString());
        assertEquals(0, status, () -> "it does not compile:\n" + source);
    }

    private static List<String> run(Path place) throws IOException, InterruptedException {
        Path printed = place.resolve("printed.txt");
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        String classes = place + System.getProperty("path.separator") + System.getProperty("java.class.path");
        List<String> command = new ArrayList<>(List.of(java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes, "Program"));
        Process process = new ProcessBuilder(command)
                .directory(place.toFile())
                .redirectErrorStream(true)
                .redirectOutput(printed.toFile())
                .start();
        if (!process.waitFor(LIMIT_S, TimeUnit.SECONDS)) {
            process.destroyForcibly();
        }
        try (Stream<String> lines = Files.lines(printed)) {
            List<String> all = lines.toList();
            assertEquals(0, process.waitFor(), () -> String.join("\n", all));
            return all;
        }
    }
}

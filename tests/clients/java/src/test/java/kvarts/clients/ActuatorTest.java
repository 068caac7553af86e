package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.springframework.boot.actuate.health.CompositeHealth;
import org.springframework.boot.actuate.health.Health;
import org.springframework.boot.actuate.health.HealthEndpoint;
import org.springframework.boot.actuate.health.Status;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.data.redis.core.StringRedisTemplate;

/** Spring Boot Actuator: its health of the server, single and as a cluster, and Micrometer's times of Lettuce's commands. */
class ActuatorTest {

    private static final Duration LIMIT = Duration.ofSeconds(20);

    @Test
    void aSingleServerIsUpUntilItEnds() {
        // Ended within the test; where that is not reached, with the JVM.
        KvartsServer server = KvartsServer.standalone("actuator");
        try (ConfigurableApplicationContext application = start(Map.of(
                "spring.data.redis.host", "localhost",
                "spring.data.redis.port", Integer.toString(server.port())))) {
            String page = new Browser(application).get("/actuator/health");
            assertTrue(page.startsWith("{\"status\":\"UP\""), page);
            assertTrue(page.contains("\"redis\":{\"status\":\"UP\",\"details\":{\"version\":\"7.2.4\"}}"), page);
            commandsAreTimed(application);
            server.close();
            Await.until("the server's end is noticed", LIMIT, () -> redis(application).getStatus().equals(Status.DOWN));
        }
    }

    @Test
    void aClusterIsUpWithAllItsSlots() {
        try (KvartsServer server = KvartsServer.cluster("actuator-cluster");
                ConfigurableApplicationContext application = start(Map.of(
                        "spring.data.redis.cluster.nodes", "localhost:" + server.port()))) {
            Health redis = redis(application);
            assertEquals(Status.UP, redis.getStatus(), redis::toString);
            assertEquals(16384L, redis.getDetails().get("slots_up"));
            assertEquals(0L, redis.getDetails().get("slots_fail"));
            assertEquals(1L, redis.getDetails().get("cluster_size"));
            commandsAreTimed(application);
        }
    }

    /** Each command that Lettuce completes is in a timer by its name. */
    private static void commandsAreTimed(ConfigurableApplicationContext application) {
        StringRedisTemplate template = application.getBean(StringRedisTemplate.class);
        template.opsForValue().set("timed", "value");
        assertEquals("value", template.opsForValue().get("timed"));
        MeterRegistry meters = application.getBean(MeterRegistry.class);
        for (String command : new String[] {"SET", "GET"}) {
            Timer timer = meters.find("lettuce.command.completion").tag("command", command).timer();
            assertTrue(timer != null && timer.count() == 1, () -> command + ": " + meters.getMeters());
        }
    }

    private static Health redis(ConfigurableApplicationContext application) {
        CompositeHealth all = (CompositeHealth) application.getBean(HealthEndpoint.class).health();
        return (Health) all.getComponents().get("redis");
    }

    private static ConfigurableApplicationContext start(Map<String, String> own) {
        Map<String, String> properties = new HashMap<>(own);
        properties.put("management.endpoint.health.show-details", "always");
        // How long the health of a server that has ended is waited for.
        properties.put("spring.data.redis.timeout", "2s");
        // Reconnecting to a server that has ended is complained of.
        properties.put("logging.level.io.lettuce", "off");
        properties.put("logging.level.org.springframework.boot.actuate", "off");
        return Applications.start(properties);
    }
}

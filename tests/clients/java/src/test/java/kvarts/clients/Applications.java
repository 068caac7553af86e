package kvarts.clients;

import java.util.Map;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ApplicationListener;
import org.springframework.context.ConfigurableApplicationContext;

/** Starts {@link SessionApplication} on a free port of its own. */
final class Applications {

    private Applications() {}

    static ConfigurableApplicationContext start(Map<String, String> properties, ApplicationListener<?>... listeners) {
        String[] arguments = properties.entrySet().stream()
                .map(property -> "--" + property.getKey() + "=" + property.getValue())
                .toArray(String[]::new);
        return new SpringApplicationBuilder(SessionApplication.class).listeners(listeners).run(arguments);
    }
}

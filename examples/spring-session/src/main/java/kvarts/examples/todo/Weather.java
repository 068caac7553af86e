package kvarts.examples.todo;

import java.util.concurrent.atomic.AtomicInteger;
import org.springframework.cache.annotation.CachePut;
import org.springframework.cache.annotation.Cacheable;
import org.springframework.stereotype.Component;

/** A source that takes its time. What it said is cached for a minute (`spring.cache.redis.time-to-live`). */
@Component
class Weather {

    private static final long TAKES_MS = 300;

    private final AtomicInteger asked = new AtomicInteger();

    @Cacheable("weather")
    public String in(String town) {
        return ask(town);
    }

    @CachePut("weather")
    public String renewed(String town) {
        return ask(town);
    }

    private String ask(String town) {
        try {
            Thread.sleep(TAKES_MS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return "Fair in " + town + ", said answer " + asked.incrementAndGet();
    }
}

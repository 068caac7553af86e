package kvarts.examples.todo;

import java.time.Duration;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;

/** What is slow to find out: read through the cache, and renewed by one instance of the application at a time. */
@RestController
class WeatherController {

    private static final Duration RENEWED_WITHIN = Duration.ofSeconds(30);

    private final Weather weather;
    private final Lock lock;

    WeatherController(Weather weather, Lock lock) {
        this.weather = weather;
        this.lock = lock;
    }

    @GetMapping("/weather/{town}")
    String weather(@PathVariable String town) {
        return weather.in(town);
    }

    @PostMapping("/weather/{town}")
    String renew(@PathVariable String town) {
        return lock.whileHeld("weather:" + town, RENEWED_WITHIN, () -> weather.renewed(town))
                .orElseThrow(() -> new ResponseStatusException(HttpStatus.CONFLICT, "it is being renewed"));
    }
}

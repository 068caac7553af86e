package kvarts.examples.visits;

import java.time.Duration;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.stereotype.Component;

/** Counts the visits of a page. A page that nobody visits for a day is forgotten. */
@Component
public class Visits {

    private static final Duration REMEMBERED = Duration.ofDays(1);

    private final StringRedisTemplate redis;

    Visits(StringRedisTemplate redis) {
        this.redis = redis;
    }

    /** One more; how many there are now. */
    public long count(String page) {
        Long visits = redis.opsForValue().increment("visits:" + page);
        redis.expire("visits:" + page, REMEMBERED);
        return visits == null ? 0 : visits;
    }
}

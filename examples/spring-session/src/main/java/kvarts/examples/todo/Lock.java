package kvarts.examples.todo;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Supplier;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.data.redis.core.script.RedisScript;
import org.springframework.stereotype.Component;

/** A lock that all instances of the application share. It has an owner, and ends by itself should the owner die. */
@Component
class Lock {

    /** Gives the lock back if it is still the owner's. One key, so that it runs wherever the key is. */
    private static final RedisScript<Long> RELEASE = RedisScript.of(
            "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end",
            Long.class);

    private final StringRedisTemplate redis;

    Lock(StringRedisTemplate redis) {
        this.redis = redis;
    }

    /** The action's answer, or nothing when somebody else has the lock. */
    <T> Optional<T> whileHeld(String name, Duration atMost, Supplier<T> action) {
        String key = "lock:" + name;
        String owner = UUID.randomUUID().toString();
        if (!Boolean.TRUE.equals(redis.opsForValue().setIfAbsent(key, owner, atMost))) {
            return Optional.empty();
        }
        try {
            return Optional.of(action.get());
        } finally {
            redis.execute(RELEASE, List.of(key), owner);
        }
    }
}

package kvarts.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.springframework.dao.DataAccessException;
import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceClientConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.data.redis.core.RedisOperations;
import org.springframework.data.redis.core.SessionCallback;

/** Spring Data Redis against one server, and the transactions, which it has for one server only. */
class SpringDataTest extends SpringDataTests {

    @Override
    KvartsServer startServer() {
        return KvartsServer.standalone("spring-data");
    }

    @Override
    LettuceConnectionFactory connections(KvartsServer server, LettuceClientConfiguration client) {
        return new LettuceConnectionFactory(new RedisStandaloneConfiguration("localhost", server.port()), client);
    }

    @Test
    void aTransactionAnswersAsOne() {
        List<Object> replies = session(redis -> {
            redis.multi();
            redis.opsForValue().set("k", "v");
            assertNull(redis.opsForValue().get("k"));
            redis.opsForValue().increment("count", 42);
        });
        assertEquals(List.of(true, "v", 42L), replies);
    }

    @Test
    void aWatchedKeyThatChangesStopsTheTransaction() {
        List<Object> replies = session(redis -> {
            redis.watch("k");
            template.opsForValue().set("k", "theirs");
            redis.multi();
            redis.opsForValue().set("k", "mine");
        });
        assertTrue(replies == null || replies.isEmpty(), () -> replies.toString());
        assertEquals("theirs", template.opsForValue().get("k"));
    }

    @Test
    void aTransactionThatIsDiscardedDoesNothing() {
        template.execute(new SessionCallback<Void>() {
            @Override
            public <K, V> Void execute(RedisOperations<K, V> operations) throws DataAccessException {
                RedisOperations<String, String> redis = strings(operations);
                redis.multi();
                redis.opsForValue().set("k", "v");
                redis.discard();
                return null;
            }
        });
        assertNull(template.opsForValue().get("k"));
    }

    @Test
    void aCommandThatFailsFailsTheTransactionOnly() {
        template.opsForValue().set("text", "no number");
        assertThrows(DataAccessException.class, () -> session(redis -> {
            redis.multi();
            redis.opsForValue().set("k", "v");
            redis.opsForValue().increment("text");
        }));
        // What stood beside it was done.
        assertEquals("v", template.opsForValue().get("k"));
    }

    private List<Object> session(Consumer<RedisOperations<String, String>> action) {
        return template.execute(new SessionCallback<List<Object>>() {
            @Override
            public <K, V> List<Object> execute(RedisOperations<K, V> operations) throws DataAccessException {
                action.accept(strings(operations));
                return operations.exec();
            }
        });
    }

    /** The template's own type, which the callback does not carry. */
    @SuppressWarnings("unchecked")
    private static <K, V> RedisOperations<String, String> strings(RedisOperations<K, V> operations) {
        return (RedisOperations<String, String>) operations;
    }
}

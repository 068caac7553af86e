package kvarts.examples.todo;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.context.event.EventListener;
import org.springframework.session.events.SessionDestroyedEvent;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/**
 * Hears of sessions that end, by logout or by time. Only the indexed repository tells of them: the server says by its keyspace
 * events that a session's key has ended.
 */
@RestController
@ConditionalOnProperty(name = "spring.session.redis.repository-type", havingValue = "indexed")
class EndedSessions {

    private static final int KEPT = 100;
    private static final Logger LOG = LoggerFactory.getLogger(EndedSessions.class);

    private final Deque<String> ended = new ArrayDeque<>();

    @EventListener
    synchronized void sessionHasEnded(SessionDestroyedEvent event) {
        Object items = event.getSession().getAttribute("items");
        LOG.info("A session has ended: {}", event.getSessionId());
        if (ended.size() == KEPT) {
            ended.removeFirst();
        }
        ended.addLast(event.getClass().getSimpleName() + " with " + (items == null ? "nothing" : items) + " to do");
    }

    @GetMapping("/ended")
    synchronized List<String> ended() {
        return List.copyOf(ended);
    }
}

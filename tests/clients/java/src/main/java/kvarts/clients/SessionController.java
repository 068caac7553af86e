package kvarts.clients;

import static org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpSession;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** Does with the HTTP session what web applications do: keep a value, log a user in, log the user out. */
@RestController
class SessionController {

    private static final String VALUE = "value";

    /** Stores the value and answers the session's id. */
    @PostMapping("/value")
    String store(@RequestParam String value, HttpSession session) {
        session.setAttribute(VALUE, value);
        return session.getId();
    }

    /** Answers the stored value, or "none"; never makes a session. */
    @GetMapping("/value")
    String read(HttpServletRequest request) {
        HttpSession session = request.getSession(false);
        Object value = session == null ? null : session.getAttribute(VALUE);
        return value == null ? "none" : (String) value;
    }

    /** Gives the session a new id, as a login must, names its principal and answers the new id. */
    @PostMapping("/login")
    String login(@RequestParam String user, HttpServletRequest request) {
        request.getSession();
        String id = request.changeSessionId();
        request.getSession().setAttribute(PRINCIPAL_NAME_INDEX_NAME, user);
        return id;
    }

    @PostMapping("/logout")
    String logout(HttpSession session) {
        session.invalidate();
        return "bye";
    }
}

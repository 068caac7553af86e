package kvarts.examples.todo;

import jakarta.servlet.http.HttpSession;
import java.util.ArrayList;
import java.util.List;
import org.springframework.http.MediaType;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.servlet.view.RedirectView;
import org.springframework.web.util.HtmlUtils;

/** The to-do list of a browser. It is an attribute of the HTTP session, which Spring Session keeps as a hash. */
@RestController
class TodoController {

    private static final String ITEMS = "items";
    private static final int MAX_ITEMS = 100;

    @GetMapping(path = "/", produces = MediaType.TEXT_HTML_VALUE)
    String page(HttpSession session) {
        StringBuilder page = new StringBuilder("<!doctype html><title>To do</title><h1>To do</h1><ul>");
        for (String item : items(session)) {
            String shown = HtmlUtils.htmlEscape(item);
            page.append("<li><form method=post action=/todos/done>")
                    .append(shown)
                    .append(" <button name=item value=\"" + shown + "\">done</button></form>");
        }
        return page.append("</ul><form method=post action=/todos><input name=item autofocus required> <button>add</button></form>")
                .append("<form method=post action=/logout><button>forget me</button></form>")
                .toString();
    }

    @PostMapping("/todos")
    RedirectView add(@RequestParam String item, HttpSession session) {
        List<String> items = items(session);
        if (items.size() < MAX_ITEMS) {
            items.add(item);
        }
        // Setting the attribute tells the session that the list has changed.
        session.setAttribute(ITEMS, items);
        return new RedirectView("/");
    }

    @PostMapping("/todos/done")
    RedirectView done(@RequestParam String item, HttpSession session) {
        List<String> items = items(session);
        items.remove(item);
        session.setAttribute(ITEMS, items);
        return new RedirectView("/");
    }

    @GetMapping("/todos")
    List<String> list(HttpSession session) {
        return items(session);
    }

    @PostMapping("/logout")
    RedirectView logout(HttpSession session) {
        session.invalidate();
        return new RedirectView("/");
    }

    @SuppressWarnings("unchecked")
    private static List<String> items(HttpSession session) {
        List<String> items = (List<String>) session.getAttribute(ITEMS);
        return items == null ? new ArrayList<>() : items;
    }
}

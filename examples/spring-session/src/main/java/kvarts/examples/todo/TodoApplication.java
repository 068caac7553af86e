package kvarts.examples.todo;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cache.annotation.EnableCaching;

/** A web application whose sessions, cache and lock are in Kvarts. Where that is, only its properties say. */
@SpringBootApplication
@EnableCaching
public class TodoApplication {

    public static void main(String[] args) {
        SpringApplication.run(TodoApplication.class, args);
    }
}

package kvarts.examples.visits;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** What the tests of this example test. */
@SpringBootApplication
public class VisitsApplication {

    public static void main(String[] args) {
        SpringApplication.run(VisitsApplication.class, args);
    }
}

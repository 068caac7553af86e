package kvarts.clients;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/**
 * An ordinary Spring Boot web application. That its sessions live in Kvarts is told by its properties alone, so the tests
 * start the same code against a single server, a cluster with TLS and the indexed session repository.
 */
@SpringBootApplication(proxyBeanMethods = false)
public class SessionApplication {

    public static void main(String[] args) {
        SpringApplication.run(SessionApplication.class, args);
    }
}

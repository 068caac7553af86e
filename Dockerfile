# The image has one binary and nothing of what built it. Both stages are of the same Debian release, so that the C library
# the binary was linked with is the one it finds.

FROM rust:1-slim-trixie AS build
# ring and mimalloc are partly C and assembly.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /kvarts
COPY . .
# Line numbers for backtraces stay out of the image.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
RUN cargo build --release --locked --bin kvarts

FROM debian:trixie-slim
RUN useradd --system --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin kvarts \
    && install -d -o kvarts -g kvarts -m 0750 /data \
    # What clients have to trust may be laid here, for containers of others that share it as a volume.
    && install -d -o kvarts -g kvarts -m 0755 /trust
COPY --from=build /kvarts/target/release/kvarts /usr/local/bin/kvarts

# `dir` is the working directory unless it is set: what the server writes, the certificate authority in /data/tls, is kept.
WORKDIR /data
VOLUME /data
USER kvarts
EXPOSE 6379 6380
# The server ends on SIGTERM by itself. Directives follow the image's name: docker run kvarts --requirepass secret
ENTRYPOINT ["/usr/local/bin/kvarts"]
# Whether all parts of the server answer, not only whether one does. With another port, with TLS only, or with a password that it
# is to use, the check takes --port, --tls and KVARTS_PASSWORD of the environment; without a password it is content with the server's
# asking for one.
HEALTHCHECK --interval=30s --timeout=5s --start-period=1m CMD ["/usr/local/bin/kvarts", "--health-check"]
# From inside a container everybody comes from elsewhere, and who can reach it is decided by what is published. Directives of
# yours take the place of these: then set a password, or say --protected-mode no yourself.
CMD ["--protected-mode", "no"]

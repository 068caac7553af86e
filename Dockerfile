# The image has one file and a folder for data. The program is linked statically, so there is no shell, no library and no package
# beside it. For both kinds of machine, on a machine of either kind:
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t kvarts .
#
# The target `shell` is the same program on Debian, for those that start it by a script: docker build --target shell .

# The compiler runs on the machine at hand and translates for the one that was asked for: much faster than emulating that one.
FROM --platform=$BUILDPLATFORM rust:1-slim-trixie AS build
ARG BUILDARCH
ARG TARGETARCH
# ring, mimalloc and Lua are partly C and assembly.
RUN case "$TARGETARCH" in \
      "$BUILDARCH") others= ;; \
      amd64) others="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;; \
      arm64) others="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;; \
    esac \
    && apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev $others \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /kvarts
COPY . .
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc
ENV CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
ENV RUSTFLAGS="-C target-feature=+crt-static"
# Line numbers for backtraces stay out of the image.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
RUN case "$TARGETARCH" in \
      amd64) target=x86_64-unknown-linux-gnu ;; \
      arm64) target=aarch64-unknown-linux-gnu ;; \
      *) echo "there are images for amd64 and arm64, not for '$TARGETARCH'" >&2; exit 1 ;; \
    esac \
    && rustup target add "$target" \
    && cargo build --release --locked --bin kvarts --target "$target" \
    && install -D "target/$target/release/kvarts" /image/usr/local/bin/kvarts \
    && install -d -m 0750 /image/data

FROM scratch AS image
COPY --from=build /image/usr/local/bin/kvarts /usr/local/bin/kvarts
COPY --from=build --chown=10001:10001 /image/data /data
ENV PATH=/usr/local/bin
# `dir` is the working directory unless it is set: what the server writes, the certificate authority in /data/tls, is kept.
WORKDIR /data
VOLUME /data
# A number, as there are no names of users; others than root, so that the root file system may be read-only.
USER 10001:10001
EXPOSE 6379 6380
# The server ends on SIGTERM by itself. Directives follow the image's name: docker run kvarts --requirepass secret
ENTRYPOINT ["/usr/local/bin/kvarts"]
# Whether all parts of the server answer, not only whether one does. The check finds port, password and TLS by the command line of
# process 1, which is the server, and by the file that this names. Of a password that is set otherwise (an ACL file, CONFIG SET) it
# is told by KVARTS_PASSWORD of the environment; without, it is content with the server's asking for one. docs/operating.md has more.
HEALTHCHECK --interval=30s --timeout=5s --start-period=1m CMD ["/usr/local/bin/kvarts", "--health-check"]
# From inside a container everybody comes from elsewhere, and who can reach it is decided by what is published. Directives of
# yours take the place of these: then set a password, or say --protected-mode no yourself.
CMD ["--protected-mode", "no"]

FROM debian:trixie-slim AS shell
COPY --from=image /usr/local/bin/kvarts /usr/local/bin/kvarts
COPY --from=image --chown=10001:10001 /data /data
# What clients have to trust may be laid here, for containers of others that share it as a volume.
COPY --from=image --chmod=0755 --chown=10001:10001 /data /trust
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 6379 6380
ENTRYPOINT ["/usr/local/bin/kvarts"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=1m CMD ["/usr/local/bin/kvarts", "--health-check"]
CMD ["--protected-mode", "no"]

# What `docker build` makes unless it is told otherwise.
FROM image

# The `ebla` binary on a small Debian. Build: docker build --tag ebla .

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay on the builder, so that the next image compiles only what has changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --package ebla-server --bin ebla \
    && install -D /target/release/ebla /out/ebla

FROM debian:bookworm-slim
# Certificates: S3 is reached over TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/ebla --create-home ebla \
    && chmod 0700 /var/lib/ebla
COPY --from=build /out/ebla /usr/local/bin/ebla
USER ebla
VOLUME /var/lib/ebla
EXPOSE 9030 8030
# Inside a container loopback reaches nobody; who may reach the published ports is the host's decision.
ENTRYPOINT ["ebla"]
CMD ["serve", "--data-dir", "/var/lib/ebla", "--mysql-addr", "0.0.0.0:9030", "--http-addr", "0.0.0.0:8030"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=5s --start-period=30s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8030 && printf 'GET /api/health HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"]

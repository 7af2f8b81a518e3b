# syntax=docker/dockerfile:1
# The final stage holds what scripts/rootfs.sh lays out and nothing else: no shell, no package manager.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates gcc libssl-dev make perl pkg-config zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    scripts/rootfs.sh /rootfs

FROM scratch
COPY --from=build /rootfs /
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/tidegate"]
CMD ["run", "--settings", "/etc/tidegate/settings/settings.yaml"]

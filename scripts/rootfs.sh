#!/usr/bin/env bash
# usage: scripts/rootfs.sh DIRECTORY
# Builds the release binary with everything that librdkafka needs linked in, and lays out in DIRECTORY what
# the image holds: the binary, the C runtime it is linked to, certificate authorities, one user. The
# Dockerfile's final stage copies this directory and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
root=${1:?usage: scripts/rootfs.sh DIRECTORY}
target=${CARGO_TARGET_DIR:-target}

printf 'rootfs: building the release binary with vendored OpenSSL and zlib\n' >&2
cargo build --quiet --release --features vendored --bin tidegate

rm -rf "$root"
install -D -m 0755 "$target/release/tidegate" "$root/usr/bin/tidegate"

# The C runtime: what the loader names for this binary, under the paths it looks for. libnss is needed to
# resolve host names and is only loaded when that happens, so the loader does not name it.
libraries=$(ldd "$root/usr/bin/tidegate" | awk '/=> \//{print $3} /^[[:space:]]*\/.*ld-/{print $1}')
libc_directory=$(dirname "$(printf '%s\n' "$libraries" | grep -m1 '/libc\.so')")
for library in $libraries "$libc_directory"/libnss_{dns,files}.so.2 "$libc_directory"/libresolv.so.2; do
  install -D -m 0755 "$(readlink -f "$library")" "$root$library"
done

authorities=/etc/ssl/certs/ca-certificates.crt
if [ -r "$authorities" ]; then
  install -D -m 0644 "$authorities" "$root$authorities"
else
  printf 'rootfs: %s is missing; install ca-certificates\n' "$authorities" >&2
  exit 1
fi

mkdir -p "$root/etc/tidegate" "$root/tmp"
chmod 1777 "$root/tmp"
printf 'tidegate:x:65532:65532::/:/sbin/nologin\n' >"$root/etc/passwd"
printf 'tidegate:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'rootfs: %s holds %s\n' "$root" "$(du -sh "$root" | cut -f1)" >&2

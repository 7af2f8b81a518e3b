#!/usr/bin/env bash
# Makes sure that what a build needs is there. Says what it installs before it does so; where it may not
# install, says the one command that must be run.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need cc gcc
need c++ g++
need make make
# The perl of a minimal system lacks the modules that OpenSSL's build uses.
perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || missing+=(perl)
need pkg-config pkg-config
[ -r /etc/ssl/certs/ca-certificates.crt ] || [ -n "${SSL_CERT_FILE:-}" ] || missing+=(ca-certificates)
if command -v pkg-config >/dev/null 2>&1; then
  pkg-config --exists openssl || missing+=(libssl-dev)
  pkg-config --exists zlib || missing+=(zlib1g-dev)
else
  missing+=(libssl-dev zlib1g-dev)
fi
if [ "${#missing[@]}" -gt 0 ]; then
  install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if ! command -v apt-get >/dev/null 2>&1; then
    say "missing: ${missing[*]} (names as on Debian); install them with this system's package manager"
    exit 1
  elif [ "$(id -u)" -ne 0 ]; then
    say "missing: ${missing[*]}; run: sudo sh -c '$install'"
    exit 1
  fi
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! command -v cargo >/dev/null 2>&1; then
  say "no Rust toolchain: install one with rustup, https://rustup.rs, and run this again"
  exit 1
fi
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
have=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n1)" != "$wanted" ]; then
  say "Rust $have is too old: Tidegate needs $wanted; run: rustup update stable"
  exit 1
fi
for component in rustfmt clippy; do
  case $component in rustfmt) probe=(cargo fmt --version) ;; *) probe=(cargo clippy --version) ;; esac
  if ! "${probe[@]}" >/dev/null 2>&1; then
    command -v rustup >/dev/null 2>&1 || { say "cargo $component is missing, and there is no rustup to add it"; exit 1; }
    say "adding the toolchain component $component"
    rustup --quiet component add "$component"
  fi
done

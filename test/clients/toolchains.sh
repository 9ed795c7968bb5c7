#!/usr/bin/env bash
# Makes a Debian or Ubuntu machine able to run every client: what is missing comes from its own packages, and a Go that is too
# old fetches a newer one from Go's module proxy. Leaves alone what is there and new enough.
set -u
cd "$(dirname "$0")" || exit 1

# at_least HAVE WANTED: compares versions
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -1)" = "$2" ]; }
has() { command -v "$1" >/dev/null; }
go_version() { has go && (cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//'); }
cargo_version() { has cargo && cargo --version | cut -d ' ' -f 2; }
in_debian() { apt-cache show "$1" >/dev/null 2>&1; }

rust=1.89
go=1.25.3
packages=()
has psql || packages+=(postgresql-client)
{ has javac && has mvn; } || packages+=(default-jdk-headless maven)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
has dpkg && has apt-get || { echo 'no dpkg and apt-get here: the ODBC driver comes from Debian' >&2; exit 1; }
[ -n "$(go_version)" ] || packages+=(golang-go)
old_rust=0
at_least "$(cargo_version)" "$rust" || old_rust=1

if [ ${#packages[@]} -gt 0 ] || [ $old_rust -eq 1 ]; then
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
  "${as_root[@]}" apt-get update -qq || exit 1
  if [ $old_rust -eq 1 ]; then
    # Debian keeps a newer Rust beside its own, for the browsers it builds.
    if in_debian cargo-web; then packages+=(cargo-web rustc-web gcc libc6-dev); else packages+=(cargo gcc libc6-dev); fi
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" || exit 1
fi

# From 1.21 on, Go fetches the version that a module asks for by itself.
if ! at_least "$(go_version)" 1.21; then
  mkdir -p .tools/bin
  module="golang.org/toolchain@v0.0.1-go$go.linux-$(go env GOARCH)"
  (cd .tools && { [ -f go.mod ] || go mod init toolchain; } && GOPATH="$PWD/go" GOFLAGS=-modcacherw go mod download "$module") || exit 1
  chmod -R u+x ".tools/go/pkg/mod/$module/bin" ".tools/go/pkg/mod/$module/pkg/tool"
  ln -sf "../go/pkg/mod/$module/bin/go" .tools/bin/go
fi

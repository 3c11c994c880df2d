#!/bin/sh
# Build the root file system of an image without any registry: Debian, Python, and the packages named.
#
#   from-debian.sh ARCHIVE [PACKAGE]…        (as root; needs debootstrap)
#   docker import ARCHIVE agentgym-python    makes an image of it
#
# $SUITE and $MIRROR say which Debian, and where it comes from.
set -eu

[ $# -ge 1 ] || { echo "usage: $0 ARCHIVE [PACKAGE]…" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "$0: debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
archive=$1
shift

packages=python3
for package in "$@"; do packages="$packages,$package"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

debootstrap --variant=minbase --include="$packages" "${SUITE:-bookworm}" "$work/root" \
    "${MIRROR:-http://deb.debian.org/debian}" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }
tar -C "$work/root" -cf "$archive.part" \
    --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* --exclude=./tmp/* --exclude=./var/cache/* \
    --exclude=./var/lib/apt/* --exclude=./usr/share/doc/* --exclude=./usr/share/locale/* .
mv "$archive.part" "$archive"

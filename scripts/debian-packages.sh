#!/bin/sh
# Install the Debian packages named as arguments, as far as that is possible here.
#
# Root on Debian installs what is missing. Anywhere else, and for a package that can't be had, it says which one
# is missing and goes on, since most of the project works without it; in CI ($CI set) a missing package fails.
set -u

missing=""
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || echo "debian-packages: the package lists could not be refreshed; trying with the old ones" >&2
    install="apt-get install -y -qq --no-install-recommends"
    # All at once is faster; one by one tells which of them can't be had.
    # shellcheck disable=SC2086 (words are what is wanted)
    $install $missing >/dev/null 2>&1 || for package in $missing; do
        $install "$package" >/dev/null 2>&1 || failed="${failed:-} $package"
    done
else
    failed=$missing
fi

[ -n "${failed:-}" ] || exit 0
echo "debian-packages: not installed:$failed. Install them by hand, or go on without what needs them." >&2
[ -z "${CI:-}" ] || exit 1

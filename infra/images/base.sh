#!/bin/sh
# Makes the images' base out of Debian packages, for machines that cannot pull one: Python 3.13, certificates,
# time zones, the C++ library, and what Debian calls essential, without what no container of ours runs (see trim.py).
#
#   infra/images/base.sh [FILE]          default: build/images/base.tar
#
# Needs mmdebstrap and its packages (Debian, Ubuntu: `apt-get install mmdebstrap`), as root or with user
# namespaces. MIRROR names another archive, SUITE another release (its Python must be 3.13), SOURCE_DATE_EPOCH
# the time that all files get. The same packages give the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-build/images/base.tar}
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1767225600}" LC_ALL=C

if ! command -v mmdebstrap >/dev/null; then
    echo 'mmdebstrap is not installed: `apt-get install mmdebstrap`, or name an image: make images BASE_IMAGE=…' >&2
    exit 2
fi
mkdir -p "$(dirname "$out")"
mmdebstrap --quiet --mode="${MODE:-auto}" --variant=essential --format=tar \
    --include=python3,ca-certificates,tzdata,libstdc++6 \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --dpkgopt='path-exclude=/usr/share/bash-completion/*' \
    --customize-hook="chroot \"\$1\" env PYTHONHASHSEED=0 python3 -B -s - < '$here/trim.py'" \
    "${SUITE:-trixie}" "$out.part" ${MIRROR:+"$MIRROR"}
mv "$out.part" "$out"

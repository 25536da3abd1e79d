#!/bin/sh
# Puts the newest crun and runc that Debian packages into a folder of their own,
# with their libraries, without touching the host's packages.
# usage: conformance/peers.sh [DIR]        (default: target/peers)
set -eu

dir=$(mkdir -p "${1:-target/peers}" && cd "${1:-target/peers}" && pwd)
suite=sid
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages="crun runc libc6 libblake3-0 libcap2 libjson-c5 libseccomp2 libsystemd0
libgcrypt20 libgpg-error0 liblzma5 libzstd1 liblz4-1"

for tool in apt-get dpkg patchelf; do
    command -v "$tool" >/dev/null || { echo "peers: $tool is missing: apt-get install $tool" >&2; exit 1; }
done
if [ -x "$dir/crun" ] && [ -x "$dir/runc" ]; then
    echo "peers: already in $dir"; exit 0
fi

mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial" "$dir/root" "$dir/deb"
echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite main" >"$dir/apt/sources.list"
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$dir/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt" -o APT::Sandbox::User=root "$@"
}
apt update
(cd "$dir/deb" && apt download $packages)
for package in "$dir"/deb/*.deb; do dpkg -x "$package" "$dir/root"; done

loader=$(find "$dir/root" -name 'ld-linux-*.so.*' | head -n 1)
libraries=$(find "$dir/root" -name '*.so.*' -exec dirname {} + | sort -u | paste -sd:)
for name in crun runc; do
    binary=$(find "$dir/root" -path "*bin/$name" | head -n 1)
    patchelf --set-interpreter "$loader" --set-rpath "$libraries" --output "$dir/$name" "$binary"
    "$dir/$name" --version | head -n 1
done
rm -rf "$dir/apt" "$dir/deb"

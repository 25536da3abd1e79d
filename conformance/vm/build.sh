#!/bin/sh
# Builds what the VM lane boots, from Debian packages alone: target/vm/KEY/{vmlinuz,initramfs,packages}.
# KEY is the hash of the sources in this folder, so an unchanged recipe is built once; remove
# target/vm to pick up newer packages. Nothing is installed on the host, and root is not needed.
# usage: conformance/vm/build.sh          (prints the folder)
set -eu

sources=$(cd "$(dirname "$0")" && pwd)
store=$(cd "$sources/../.." && pwd)/target/vm
# The release is fixed, since what a kernel can do decides what the suite may expect of a runtime.
suite=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# busybox is most tools, but not the shell: its own would run its own mount and unshare for those on
# the PATH. The rest is what the suite, the peers and their tests call by its own name, and the
# libraries of these and of dynamically linked Rust programs.
programs="dash busybox-static util-linux mount tar gzip strace libcap2-bin apparmor checkpolicy"
libraries="libc6 libgcc-s1 libacl1 libblkid1 libcap-ng0 libcap2 liblzma5 libmount1 libpcre2-8-0
libselinux1 libsmartcols1 libtinfo6 libudev1 libunwind8 libuuid1"
# With what these need. The virtio ones carry the runner's disks and ports.
modules="virtio_pci virtio_console virtio_blk dummy veth bridge tun overlay loop fuse bfq"

require() {
    command -v "$1" >/dev/null || { echo "vm: $1 is missing: apt-get install $2" >&2; exit 1; }
}

# apt with lists and archives of its own under the build directory.
use_private_apt() {
    mkdir -p apt/lists/partial apt/archives/partial
    for section in "$suite main" "$suite-updates main"; do
        echo "deb [arch=amd64 signed-by=$keyring] http://deb.debian.org/debian $section"
    done >apt/sources.list
    echo "deb [arch=amd64 signed-by=$keyring] http://deb.debian.org/debian-security $suite-security main" \
        >>apt/sources.list
    cat >apt/apt.conf <<END
Dir::Etc::sourcelist "$PWD/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$PWD/apt/lists";
Dir::Cache "$PWD/apt";
APT::Architecture "amd64";
APT::Sandbox::User "";
END
    export APT_CONFIG="$PWD/apt/apt.conf"
    apt-get -qq update
}

unpack_packages() {
    mkdir deb root
    kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p')
    # The lists are words.
    # shellcheck disable=SC2086
    (cd deb && apt-get -qq download "$kernel" $programs $libraries)
    for package in deb/*.deb; do
        dpkg -x "$package" root
        echo "$(dpkg-deb --field "$package" Package) $(dpkg-deb --field "$package" Version)"
    done >packages
}

# Leaves only $modules and what they depend on, with an index of these.
keep_modules() {
    version=$(basename root/lib/modules/*)
    tree=lib/modules/$version
    root/bin/busybox depmod -b root "$version"
    for module in $modules; do
        entry=$(grep "/$module\.ko:" "root/$tree/modules.dep") || {
            echo "vm: the kernel has no module $module" >&2; exit 1
        }
        echo "$entry" | tr -d : | tr ' ' '\n'
    done | sort -u >wanted
    mkdir kept
    (cd "root/$tree" && tar -cf - -T -) <wanted | tar -xf - -C kept
    cp "root/$tree"/modules.order "root/$tree"/modules.builtin kept
    rm -r "root/$tree"
    mv kept "root/$tree"
    root/bin/busybox depmod -b root "$version"
}

lay_root() {
    mv "root/boot/vmlinuz-$version" vmlinuz
    rm -rf root/boot root/var root/usr/share root/usr/lib/x86_64-linux-gnu/gconv root/usr/lib/python3
    mkdir -p root/proc root/sys root/dev root/run root/tmp root/root root/mnt root/var/tmp \
        root/usr/local/bin root/etc/selinux
    # The packages' own programs stand before busybox's of the same name.
    for applet in $(root/bin/busybox --list); do
        for folder in bin sbin usr/bin usr/sbin; do
            [ -e "root/$folder/$applet" ] && continue 2
        done
        ln -s /bin/busybox "root/bin/$applet"
    done
    # The parser then asks the kernel itself what it can do.
    : >root/etc/apparmor/parser.conf
    echo 'root:x:0:0:root:/root:/bin/sh' >root/etc/passwd
    echo 'root:x:0:' >root/etc/group
    echo '127.0.0.1 localhost' >root/etc/hosts
    printf 'SELINUX=permissive\nSELINUXTYPE=vm\n' >root/etc/selinux/config
    install -m 755 "$sources/init.sh" root/init
    install -m 644 "$sources/apparmor.profile" root/etc
    awk '/^@categories@$/ { for (n = 0; n < 1024; n++) print "category c" n ";"; next } { print }' \
        "$sources/selinux.conf" >root/etc/selinux.conf
}

build() {
    require apt-get apt
    require dpkg dpkg
    require cpio cpio
    [ -f "$keyring" ] || { echo "vm: $keyring is missing: apt-get install debian-archive-keyring" >&2; exit 1; }
    echo "vm: building the initramfs from Debian $suite" >&2
    rm -rf "$store/new"
    mkdir "$store/new"
    cd "$store/new"
    use_private_apt
    unpack_packages
    keep_modules
    lay_root
    # Not compressed: under emulation the kernel would take longer to inflate it than to read it.
    (cd root && find . | cpio --quiet --create --format=newc --owner=0:0) >initramfs
    rm -rf apt deb root wanted
    cd "$store"
    mv new "$key"
    find . -mindepth 1 -maxdepth 1 ! -name "$key" ! -name lock -exec rm -rf {} +
}

mkdir -p "$store"
# Two runs that start together build once.
exec 9>"$store/lock"
flock 9
key=$(cat "$sources/build.sh" "$sources/init.sh" "$sources/apparmor.profile" "$sources/selinux.conf" |
    sha256sum | cut -c 1-16)
if [ ! -d "$store/$key" ]; then build; fi
echo "$store/$key"

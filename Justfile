# The recipes. `just` lists them.

musl := arch() + "-unknown-linux-musl"
has_musl := `ls "$(rustc --print target-libdir --target $(uname -m)-unknown-linux-musl 2>/dev/null)" >/dev/null 2>&1 && echo yes || echo no`

# At a fixed address there is nothing to relocate: 20 page faults fewer in every process. Names
# without hashes are what harness/start-path.ld can order.
flags := "-C relocation-model=static -C target-feature=+crt-static -C symbol-mangling-version=v0"

_default:
    @just --list

# Build everything for development.
[group('build')]
build:
    cargo build --workspace

# Leave static, stripped target/dist/{init,harness,harness-conformance}, and the demo's witness.
[group('build')]
dist:
    #!/bin/sh
    set -eu
    export RUSTFLAGS="{{flags}}"
    if [ "{{has_musl}}" = yes ]; then
        target={{musl}}
    else
        target={{arch()}}-unknown-linux-gnu
    fi
    # One by one: together they would have each other's features.
    for package in harness harness-conformance; do
        cargo build --locked -p $package --profile dist --target $target
    done
    built=target/$target/dist
    mkdir -p target/dist
    out=$(ls -td "$built"/build/harness-*/out | head -n 1)
    cp "$built/harness" "$built/harness-conformance" target/dist
    install -m 755 "$out/init.bin" target/dist/init
    install -m 755 "$out/witness.bin" target/dist/witness
    ls -l target/dist

# Find anew what the verbs of a start run, and in which order (harness/start-path.ld; needs root).
[group('build')]
order:
    #!/bin/sh
    set -eu
    RUSTFLAGS="{{flags}}" cargo build --locked -p harness --profile dist --target {{musl}} --config 'profile.dist.strip="none"' --target-dir target/symbols
    bundle=$(mktemp -d)
    mkdir "$bundle/rootfs" "$bundle/rootfs/bin"
    cp /bin/busybox "$bundle/rootfs/bin/true"
    target/dist/harness spec --bundle "$bundle"
    sed -i 's|"sh"|"/bin/true"|' "$bundle/config.json"
    cargo build --locked -p harness --example order
    unshare --mount --propagation private sh -c \
        'mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec target/debug/examples/order "$@"' order \
        target/symbols/{{musl}}/dist/harness "$bundle" >target/start-path.ld
    mv target/start-path.ld harness/start-path.ld
    rm -rf "$bundle"

# All tests; those that need root or a tool say so when they are skipped.
[group('test')]
test:
    cargo test --locked

# The validation suite of runtime-tools; ARGS as in `harness conformance run --help`.
[group('test')]
conformance *ARGS: dist
    target/dist/harness conformance run {{ARGS}}

# Feed the reader of init and the seccomp compiler with mutated input, each for SECONDS (libFuzzer).
[group('test')]
fuzz SECONDS="30":
    conformance/fuzz.sh {{SECONDS}}

# The validation suite in three virtual machines: cgroup v1, SELinux, cgroup v2.
[group('test')]
conformance-vm *OPTIONS: dist
    conformance/vm/conformance.sh {{OPTIONS}}

# Put the newest crun and runc that Debian packages under target/peers.
[group('measure')]
peers:
    conformance/peers.sh target/peers

# The latency laboratory: every scenario against the peers; report and pictures in target/bench.
[group('measure')]
bench *ARGUMENTS: dist peers
    target/dist/harness bench {{ARGUMENTS}}

# Only create, start, delete and run of the default bundle.
[group('measure')]
bench-cycle ROUNDS="200": dist peers
    target/dist/harness bench --scenario base --rounds {{ROUNDS}}

# Formatting and lints.
[group('lint')]
lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    cargo clippy --locked -p init --all-targets --features freestanding --profile init -- -D warnings

# The budgets of conformance/budgets.toml.
[group('lint')]
check-binary: dist
    conformance/check-binary.sh

# What CI runs.
[group('lint')]
ci:
    .ci/run

# WHAT, if not all: controls, errors, killed_init, killed_harness, killed_in_hook, or one of these with
# ::SCENARIO. More run at once than there are processors: it is the kernel that takes its time.
# Every system call of init fails or is its last, every one of the harness is its last.
[group('test')]
sweep *WHAT:
    SWEEP=all cargo test --locked -p harness --test sweep -- --test-threads $((2 * {{num_cpus()}})) {{WHAT}}

# The same configurations with crun and runc; what differs must be in conformance/differences.md.
[group('test')]
differential *ARGS: dist peers
    target/dist/harness conformance differential --peers {{ARGS}}

# Seccomp filters against libseccomp's (needs libseccomp-dev) and, MILLIONS of samples, their rules.
[group('test')]
seccomp-oracle MILLIONS="300":
    cargo run --locked --release -p harness-oracle --features oracle -- compare
    cargo run --locked --release -p harness-oracle --features oracle -- evaluate {{MILLIONS}}

# What filters cost, ours, libseccomp's and seccompiler's; report in target/bench/seccomp.json.
[group('measure')]
bench-seccomp:
    cargo run --locked --release -p harness-oracle --features oracle -- bench target/bench/seccomp.json

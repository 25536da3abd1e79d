# shellcheck shell=sh disable=SC2154
# Sourced by checks.sh: the labels of AppArmor and SELinux.

profile=acme_secure_profile
process_label=system_u:system_r:container_t:s0:c1,c2
other_label=system_u:system_r:spc_t:s0
mount_label=system_u:object_r:container_file_t:s0:c1,c2

# in_exec NAME ATTRIBUTE EXPECTED [OPTION]...: a process that exec adds has this label.
in_exec() {
    name=$1 attribute=$2 expected=$3
    shift 3
    if listen harness exec --detach --pid-file "$pid" "$@" c /bin/busybox sleep 1000; then
        said=$(attribute "$attribute")
    fi
    equal "$name" "$expected" "$said"
}

apparmor() {
    for privileges in true false; do
        bundle "\"apparmorProfile\": \"$profile\"," '' ''
        sed -i "s|\"noNewPrivileges\": true|\"noNewPrivileges\": $privileges|" "$work/config.json"
        if launch "profile, noNewPrivileges $privileges"; then
            equal "profile, noNewPrivileges $privileges" "$profile (enforce)" "$(attribute apparmor/current)"
            in_exec "profile in exec, noNewPrivileges $privileges" apparmor/current "$profile (enforce)"
        fi
        remove
    done
    bundle '' '' ''
    if launch "no profile"; then
        equal "no profile" unconfined "$(attribute apparmor/current)"
        in_exec "exec --apparmor" apparmor/current "$profile (enforce)" --apparmor "$profile"
        in_exec "exec without --apparmor" apparmor/current unconfined
        in_exec "exec --apparmor of a profile that is not loaded" apparmor/current \
            "error: init: apparmor: write not_loaded: no such file or directory" --apparmor not_loaded
    fi
    remove
    bundle '"apparmorProfile": "not_loaded",' '' ''
    refused "a profile that is not loaded" \
        "error: init: apparmor: write not_loaded: no such file or directory"
}

# The options that the kernel shows for the mount at a path of the container.
mount_options() {
    awk -v at="$1" '$5 == at { line = $NF } END { print line }' "/proc/$(cat "$pid")/mountinfo"
}

selinux() {
    bundle "\"selinuxLabel\": \"$process_label\"," "\"mountLabel\": \"$mount_label\"," ''
    if launch labels; then
        equal "process label" "$process_label" "$(attribute current)"
        for path in /dev /dev/shm; do
            equal "mount label of $path" "context=\"$mount_label\"" \
                "$(mount_options "$path" | grep -o 'context="[^"]*"')"
        done
        in_exec "process label in exec" current "$process_label"
        in_exec "exec --process-label" current "$other_label" --process-label "$other_label"
    fi
    remove
    bundle '' '' ''
    if launch "no labels"; then
        equal "no process label" "$(tr -d '\000' </proc/self/attr/current)" "$(attribute current)"
        equal "no mount label" "" "$(mount_options /dev | grep -o 'context="[^"]*"')"
    fi
    remove
    bundle '"selinuxLabel": "system_u:system_r:nobody_t:s0",' '' ''
    refused "a process label that the policy does not know" \
        "error: init: label: write system_u:system_r:nobody_t:s0: invalid argument"
    bundle '' '"mountLabel": "system_u:object_r:nobody_t:s0",' ''
    refused "a mount label that the policy does not know" \
        'error: config.json: /linux/mountLabel: "system_u:object_r:nobody_t:s0": invalid argument'
}

absent_apparmor() {
    bundle "\"apparmorProfile\": \"$profile\"," '' ''
    refused "a profile without AppArmor" "error: config.json: /process/apparmorProfile: AppArmor is not enabled in this kernel"
}

absent_selinux() {
    bundle "\"selinuxLabel\": \"$process_label\"," '' ''
    refused "a process label without SELinux" "error: config.json: /process/selinuxLabel: SELinux is not enabled in this kernel"
    bundle '' "\"mountLabel\": \"$mount_label\"," ''
    refused "a mount label without SELinux" "error: config.json: /linux/mountLabel: SELinux is not enabled in this kernel"
}

# The profile that linux_process_apparmor_profile names. It allows everything: the test is whether a
# runtime enters it, and what it may deny is AppArmor's own affair.
profile acme_secure_profile flags=(attach_disconnected, mediate_deleted) {
  capability,
  dbus,
  file,
  mount,
  network,
  pivot_root,
  ptrace,
  remount,
  signal,
  umount,
  unix,
}

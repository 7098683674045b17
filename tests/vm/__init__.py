"""Tests of tier `real` in a virtual machine with a kernel of Debian's: cgroup v2, swap, AppArmor, systemd-logind.

``python -m tests.vm [PYTEST ARGUMENTS]``, or ``make test-vm``. How it works and what it says is in
docs/howto/run-the-tests-in-a-vm.md.
"""

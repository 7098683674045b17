#!/bin/sh
# What the virtual machine runs once it has booted. The second serial port takes the output, the third the exit status.
exec 3>/dev/ttyS2
stty -F /dev/ttyS1 raw
stty -F /dev/ttyS2 raw
cd /steersman || exit 1
mkswap -q /dev/vdc && swapon /dev/vdc
ip link set lo up
export STEERSMAN_VM=yes
sh vm-command
echo $? >&3

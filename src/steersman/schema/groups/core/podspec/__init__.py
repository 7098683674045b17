"""The specification of pods, which pods, pod templates and every workload share: its defaults and its rules."""

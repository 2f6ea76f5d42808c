#!/usr/bin/env bash
# What tests/slurm needs beside Python: a Slurm without its services started. Debian and Ubuntu, as root; elsewhere the tests are skipped.
set -euo pipefail
for name in slurmctld slurmd munged ip; do command -v "$name" >/dev/null || lacking=1; done
[[ ${lacking:-} && $EUID == 0 ]] && command -v apt-get >/dev/null || exit 0
export DEBIAN_FRONTEND=noninteractive
# nothing of it may start: the tests start daemons of their own
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; trap 'rm -f $policy' EXIT; fi
{ apt-get update -qq && apt-get install -qq -y --no-install-recommends slurm-wlm munge iproute2 >/dev/null; } ||
  echo "slurm-wlm could not be installed: the tests that need it are skipped" >&2

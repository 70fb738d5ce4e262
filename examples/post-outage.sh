#!/bin/sh
# After an outage: waits for the tablets, inspects, recovers, verifies, and sends the result.
# The cluster is given by arguments or by the environment, such as
#   post-outage.sh --cluster=prod
# REPORT_DIR is the folder of the reports. NOTIFY is a command that receives one line on its stdin.
set -u
reports=${REPORT_DIR:-/var/log/openmldb-ops}
notify=${NOTIFY:-cat}
stamp=$(date -u +%Y%m%dT%H%M%SZ)
report=$reports/recovery-$stamp.html

# Not all tablets have to come back: partitions of missing ones stay unhealthy and are listed.
openmldb-ops inspect "$@" --wait_tablets=all --wait_timeout="${WAIT:-5m}" >"$reports/before-$stamp.txt"
code=$?
case $code in
0) echo "OpenMLDB: all healthy, nothing to recover" | $notify; exit 0 ;;
7 | 10) ;;
*) echo "OpenMLDB cannot be inspected (exit code $code)" | $notify; exit "$code" ;;
esac

openmldb-ops recoverdata "$@" --yes --wait_lock=10m --report="$report" >"$reports/recovery-$stamp.txt"
recovered=$?
verdict=$(openmldb-ops verify "$@")
code=$?
# Exit code 9 means that auto_failover is off, which has priority over the result of verify.
[ "$recovered" -eq 9 ] && code=9
echo "OpenMLDB: ${verdict:-cannot be verified}; recoverdata ended with exit code $recovered; report: $report" | $notify
exit "$code"

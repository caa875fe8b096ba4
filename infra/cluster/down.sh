#!/usr/bin/env bash
# Removes the cluster that up.sh made, with everything in it.   CLUSTER=name
set -euo pipefail
cluster="${CLUSTER:-pilotage}"
if ! command -v kind >/dev/null; then
    echo "\`kind\` is not installed, so there is no cluster of its making." >&2
    exit 2
fi
if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
    kind delete cluster --name "$cluster"
else
    echo "There is no kind cluster \`$cluster\`."
fi

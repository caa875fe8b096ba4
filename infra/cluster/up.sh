#!/usr/bin/env bash
# Makes a kind cluster with Pilotage's platform in it; repeated, it brings the cluster up to date.
#   CLUSTER=name  KIND_NODE_IMAGE=image  TAG=tag of the images  REGISTRY=registry in their names
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
charts="$here/../../charts"
cluster="${CLUSTER:-pilotage}"
tag="${TAG:-0.1.0}"
images=(console serving components-python)

fail() {
    echo "$1" >&2
    exit 2
}

need() {
    command -v "$1" >/dev/null || fail "\`$1\` is not installed: $2"
}

need docker 'make cluster runs a cluster in its containers. See docs.docker.com/engine/install.'
need kind 'it makes the cluster. See kind.sigs.k8s.io.'
need kubectl 'it talks to the cluster. See kubernetes.io/docs/tasks/tools.'
need helm 'it installs the chart. See helm.sh/docs/intro/install.'
docker info >/dev/null 2>&1 || fail 'docker is installed, but its engine does not answer: start it, or see that you may use it.'
for image in "${images[@]}"; do
    docker image inspect "${REGISTRY:+$REGISTRY/}pilotage/$image:$tag" >/dev/null 2>&1 ||
        fail "There is no image ${REGISTRY:+$REGISTRY/}pilotage/$image:$tag in docker: \`make images\` builds them."
done

if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
    echo "Using the cluster $cluster, which is there"
else
    echo "Making the cluster $cluster: some minutes"
    kind create cluster --name "$cluster" --config "$here/kind.yaml" --wait 300s \
        ${KIND_NODE_IMAGE:+--image "$KIND_NODE_IMAGE"}
fi
in_cluster() { kubectl --context "kind-$cluster" "$@"; }

echo 'Loading the images into its nodes'
for image in "${images[@]}"; do
    kind load docker-image --name "$cluster" "${REGISTRY:+$REGISTRY/}pilotage/$image:$tag"
done

for namespace in pilotage models; do
    in_cluster create namespace "$namespace" --dry-run=client -o yaml | in_cluster apply -f - >/dev/null
    in_cluster label --overwrite namespace "$namespace" \
        pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted >/dev/null
done

random() { head -c 24 /dev/urandom | base64 | tr -d '+/=\n'; }
key="$(random)$(random)"
for namespace in pilotage models; do
    if ! in_cluster -n "$namespace" get secret pilotage >/dev/null 2>&1; then
        # one key for both: servers take the platform's models for their own installation's
        held="$(in_cluster -n pilotage get secret pilotage -o 'jsonpath={.data.installation-key}' 2>/dev/null | base64 -d || true)"
        in_cluster -n "$namespace" create secret generic pilotage --from-literal="installation-key=${held:-$key}" >/dev/null
    fi
done
if ! in_cluster -n pilotage get secret pilotage-passwords >/dev/null 2>&1; then
    in_cluster -n pilotage create secret generic pilotage-passwords \
        --from-literal="console=$(random)" --from-literal="mlflow=$(random)" >/dev/null
fi

echo 'Installing the platform'
helm upgrade --install pilotage "$charts/pilotage" --kube-context "kind-$cluster" --namespace pilotage \
    --values "$here/values.yaml" --set "image.registry=${REGISTRY:-}" --set "image.tag=$tag" \
    --wait --timeout 15m

cat <<TEXT

Pilotage runs in the cluster kind-$cluster. Next:

  kubectl --context kind-$cluster -n pilotage port-forward service/pilotage-console 8000:8000
      and http://127.0.0.1:8000 is the console
  kubectl --context kind-$cluster -n pilotage exec -it deployment/pilotage-console -c console -- \\
      pilotage users add me --role admin --password
      lets you in
  KUBECONFIG=~/.kube/config PILOTAGE_E2E_PULL_POLICY=IfNotPresent .venv/bin/python -m pytest tests/e2e -m cluster
      tests both charts in namespaces of their own
  make cluster-down
      removes the cluster
TEXT

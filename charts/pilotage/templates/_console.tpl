{{/* The console's variables and files. */}}

{{/* Those that come from other values. */}}
{{- define "pilotage.ownEnv" -}}
{{ include "pilotage.databaseEnv" . }}
{{ include "pilotage.storesEnv" . }}
- name: PILOTAGE_CONSOLE_URL
  value: {{ .Values.console.url | quote }}
- name: PILOTAGE_INSIDE_HOSTS
  value: {{ include "pilotage.insideHost" . | quote }}
- name: PILOTAGE_DRAIN_DELAY_SECONDS
  value: {{ .Values.console.drain.delaySeconds | int | quote }}
- name: PILOTAGE_SESSION_HOURS
  value: {{ .Values.console.sessionHours | quote }}
- name: PILOTAGE_SESSION_IDLE_HOURS
  value: {{ .Values.console.sessionIdleHours | quote }}
- name: PILOTAGE_FOUR_EYES
  value: {{ .Values.console.fourEyes | quote }}
{{- with .Values.console.trustedProxies }}
- name: PILOTAGE_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- if .Values.console.webhooks }}
- name: PILOTAGE_WEBHOOKS_FILE
  value: /etc/pilotage/webhooks/webhooks.yaml
{{- end }}
{{- with .Values.console.webhookPrivateHosts }}
- name: PILOTAGE_WEBHOOK_PRIVATE_HOSTS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.oidc }}{{ if .issuer }}
- name: PILOTAGE_OIDC_ISSUER
  value: {{ .issuer | quote }}
- name: PILOTAGE_OIDC_CLIENT_ID
  value: {{ .clientId | quote }}
{{- if .clientSecret.name }}
- name: PILOTAGE_OIDC_CLIENT_SECRET_FILE
  value: /etc/pilotage/oidc/client-secret
{{- end }}
{{- with .rolesClaim }}
- name: PILOTAGE_OIDC_ROLES_CLAIM
  value: {{ . | quote }}
{{- end }}
{{- end }}{{ end }}
{{- if .Values.kubeflow.enabled }}
{{ include "pilotage.kubeflowEnv" .Values.kubeflow }}
{{- end }}
{{- if .Values.releases.to }}
{{ include "pilotage.releaseEnv" .Values.releases }}
{{- end }}
{{- end -}}

{{- define "pilotage.consoleEnv" -}}
{{ include "pilotage.ownEnv" . }}
{{- range $name, $value := .Values.console.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $from := .Values.console.secretEnv }}
{{- include "pilotage.fromSecret" (dict "variable" $name "from" $from) }}
{{- end }}
{{- end -}}

{{- define "pilotage.kubeflowEnv" -}}
- name: PILOTAGE_RUN_ON
  value: kubeflow
- name: PILOTAGE_KUBEFLOW_URL
  value: {{ .url | quote }}
- name: PILOTAGE_KUBEFLOW_SCHEDULES
  value: {{ .schedules | quote }}
- name: PILOTAGE_COMPONENTS_IMAGE
  value: {{ .componentsImage | quote }}
{{- range $variable, $value := dict "PILOTAGE_KUBEFLOW_NAMESPACE" .namespace "PILOTAGE_KUBEFLOW_ROOT" .root "PILOTAGE_KUBEFLOW_SERVICE_ACCOUNT" .serviceAccount "PILOTAGE_COMPONENTS_SECRET" .componentsSecret }}
{{- if $value }}
- name: {{ $variable }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- if .ray.enabled }}
- name: PILOTAGE_RAY_ADDRESS
  value: kuberay
{{- if .ray.serviceAccount }}
- name: PILOTAGE_RAY_SERVICE_ACCOUNT
  value: {{ .ray.serviceAccount | quote }}
{{- end }}
{{- end }}
{{- if .audience }}
- name: PILOTAGE_KUBEFLOW_TOKEN_FILE
  value: /var/run/secrets/kubeflow/token
{{- end }}
{{- if .ca.name }}
- name: PILOTAGE_KUBEFLOW_CA_FILE
  value: /etc/pilotage/kubeflow-ca/ca.crt
{{- end }}
{{- end -}}

{{- define "pilotage.releaseEnv" -}}
- name: PILOTAGE_RELEASE_TO
  value: {{ .to | quote }}
- name: PILOTAGE_RELEASE_ENVIRONMENT
  value: {{ .environment | quote }}
- name: PILOTAGE_RELEASE_MODE
  value: {{ .mode }}
- name: PILOTAGE_RELEASE_COMMITTER
  value: {{ .committer | quote }}
- name: PILOTAGE_RELEASE_PATIENCE_SECONDS
  value: {{ .patienceSeconds | int | quote }}
{{- range $variable, $value := dict "PILOTAGE_RELEASE_BRANCH" .branch "PILOTAGE_RELEASE_IMAGE" .image "PILOTAGE_FORGE" .forge "PILOTAGE_FORGE_URL" .forgeUrl }}
{{- if $value }}
- name: {{ $variable }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- if .signingKey.name }}
- name: PILOTAGE_RELEASE_KEY_FILE
  value: /etc/pilotage/release-signing/key
{{- end }}
{{- if .sshKey.name }}
- name: PILOTAGE_RELEASE_SSH_KEY_FILE
  value: /etc/pilotage/release-ssh/key
{{- end }}
{{- if .knownHosts.name }}
- name: PILOTAGE_RELEASE_KNOWN_HOSTS_FILE
  value: /etc/pilotage/release-hosts/known_hosts
{{- end }}
{{- if .ca.name }}
- name: PILOTAGE_RELEASE_CA_FILE
  value: /etc/pilotage/release-ca/ca.crt
{{- end }}
{{- if .forgeToken.name }}
- name: PILOTAGE_FORGE_TOKEN_FILE
  value: /etc/pilotage/forge/token
{{- end }}
{{- if .watch.enabled }}
- name: PILOTAGE_CLUSTER
  value: inside
- name: PILOTAGE_CLUSTER_NAMESPACE
  value: {{ .watch.namespace }}
{{- end }}
{{- end -}}

{{/* Secrets of the console that are files: volume to {from, folder, path}; as YAML, read by mounts and volumes. */}}
{{- define "pilotage.consoleFiles" -}}
{{- if .Values.oidc.issuer }}
oidc: {{ dict "from" .Values.oidc.clientSecret "folder" "/etc/pilotage/oidc" "path" "client-secret" | toJson }}
{{- end }}
{{- if .Values.kubeflow.enabled }}
kubeflow-ca: {{ dict "from" .Values.kubeflow.ca "folder" "/etc/pilotage/kubeflow-ca" "path" "ca.crt" | toJson }}
{{- end }}
{{- with .Values.releases }}{{ if .to }}
release-signing: {{ dict "from" .signingKey "folder" "/etc/pilotage/release-signing" "path" "key" | toJson }}
release-ssh: {{ dict "from" .sshKey "folder" "/etc/pilotage/release-ssh" "path" "key" | toJson }}
release-hosts: {{ dict "from" .knownHosts "folder" "/etc/pilotage/release-hosts" "path" "known_hosts" | toJson }}
release-ca: {{ dict "from" .ca "folder" "/etc/pilotage/release-ca" "path" "ca.crt" | toJson }}
forge: {{ dict "from" .forgeToken "folder" "/etc/pilotage/forge" "path" "token" | toJson }}
{{- end }}{{ end }}
{{- end -}}

{{- define "pilotage.consoleMounts" -}}
{{ include "pilotage.scratchMounts" . }}
{{- include "pilotage.storageMounts" . }}
{{- range $name, $pilot := .Values.pilots }}
{{- range $file := concat (list "pilot.yaml") (keys ($pilot.files | default dict) | sortAlpha) }}
# One by one: a whole ConfigMap would bring folders of Kubernetes' own among the pilot's files.
- name: {{ printf "pilot-%s" $name | trunc 63 | trimSuffix "-" }}
  mountPath: /etc/pilotage/pilots/{{ $name }}/{{ $file }}
  subPath: {{ $file }}
  readOnly: true
{{- end }}
{{- end }}
{{- if .Values.console.webhooks }}
- name: webhooks
  mountPath: /etc/pilotage/webhooks
  readOnly: true
{{- end }}
{{- range $volume, $file := include "pilotage.consoleFiles" . | fromYaml }}
{{- include "pilotage.secretMount" (dict "volume" $volume "from" $file.from "folder" $file.folder) }}
{{- end }}
{{- if and .Values.kubeflow.enabled .Values.kubeflow.audience }}
- name: kubeflow-token
  mountPath: /var/run/secrets/kubeflow
  readOnly: true
{{- end }}
{{- if and .Values.releases.to .Values.releases.watch.enabled }}
- name: kubernetes-token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}
{{- end -}}

{{- define "pilotage.consoleVolumes" -}}
- name: home
  {{- if .Values.console.home.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ .Values.console.home.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .Values.console.home.scratch }}
  {{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
{{- include "pilotage.storageVolumes" . }}
{{- range $name, $_ := .Values.pilots }}
- name: {{ printf "pilot-%s" $name | trunc 63 | trimSuffix "-" }}
  configMap:
    name: {{ include "pilotage.pilotMap" (dict "root" $ "pilot" $name) }}
{{- end }}
{{- if .Values.console.webhooks }}
- name: webhooks
  configMap:
    name: {{ include "pilotage.object" (dict "root" . "suffix" "webhooks") }}
{{- end }}
{{- range $volume, $file := include "pilotage.consoleFiles" . | fromYaml }}
{{- include "pilotage.secretVolume" (dict "volume" $volume "from" $file.from "path" $file.path) }}
{{- end }}
{{- if and .Values.kubeflow.enabled .Values.kubeflow.audience }}
# A token for Kubeflow's API alone, which Kubernetes' API would refuse.
- name: kubeflow-token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ .Values.kubeflow.audience }}
          expirationSeconds: 3600
{{- end }}
{{- if and .Values.releases.to .Values.releases.watch.enabled }}
# What Kubernetes would mount by itself, in this container alone and for an hour at a time.
- name: kubernetes-token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}
{{- end -}}

{{/* Name of a pilot's ConfigMap. Takes root, pilot. */}}
{{- define "pilotage.pilotMap" -}}
{{- $name := printf "%s-pilot-%s" .root.Values.name .pilot -}}
{{- if gt (len $name) 63 }}{{ printf "%s-%s" (trunc 54 $name | trimSuffix "-") (sha256sum $name | trunc 8) }}{{ else }}{{ $name }}{{ end -}}
{{- end -}}

{{- define "pilotage.spread" -}}
{{- $ := . -}}
{{- range $key, $when := dict "topology.kubernetes.io/zone" .Values.console.topologySpread.zones "kubernetes.io/hostname" .Values.console.topologySpread.nodes }}
{{- if ne $when "Off" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: {{ $when }}
  labelSelector:
    matchLabels:
      {{- include "pilotage.selector" (dict "root" $ "component" "console") | nindent 6 }}
{{- end }}
{{- end }}
{{- end -}}

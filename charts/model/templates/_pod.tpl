{{/* The pods: what every container of this chart may not do, and the server's own. */}}

{{- define "model.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "model.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Requests and limits of a container. */}}
{{- define "model.resources" -}}
requests:
  cpu: {{ .cpu | quote }}
  memory: {{ .memory | quote }}
limits:
  cpu: {{ .limits.cpu | quote }}
  memory: {{ .limits.memory | default .memory | quote }}
{{- end -}}

{{/* One variable from a Secret; nothing where no Secret is named. Takes variable, from. */}}
{{- define "model.fromSecret" -}}
{{- if .from.name }}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .from.name }}
      key: {{ .from.key }}
{{- end }}
{{- end -}}

{{/* Where models and windows are: what the server and the monitor both need to know. */}}
{{- define "model.stores" -}}
- name: MLFLOW_TRACKING_URI
  value: {{ .Values.tracking.uri | quote }}
{{- include "model.fromSecret" (dict "variable" "MLFLOW_TRACKING_USERNAME" "from" .Values.tracking.username) }}
{{- include "model.fromSecret" (dict "variable" "MLFLOW_TRACKING_PASSWORD" "from" .Values.tracking.password) }}
{{- include "model.fromSecret" (dict "variable" "MLFLOW_TRACKING_TOKEN" "from" .Values.tracking.token) }}
{{- include "model.fromSecret" (dict "variable" "PILOTAGE_INSTALLATION_KEY" "from" .Values.installationKey) }}
{{- if .Values.storage.url }}
- name: PILOTAGE_STORAGE_URL
  value: {{ .Values.storage.url | trimSuffix "/" | quote }}
{{- else if .Values.storage.volume.enabled }}
- name: PILOTAGE_STORAGE_URL
  value: "/var/lib/pilotage-storage"
{{- end }}
{{- end -}}

{{- define "model.storeVariables" -}}
{{- if .Values.storage.secret }}
envFrom:
  - secretRef:
      name: {{ .Values.storage.secret }}
{{- end }}
{{- end -}}

{{- define "model.serverEnv" -}}
- name: PILOTAGE_HOME
  value: /var/lib/pilotage
- name: PILOTAGE_DRAIN_DELAY_SECONDS
  value: {{ .Values.drain.delaySeconds | int | quote }}
- name: PILOTAGE_ACCESS_LOG
  value: {{ .Values.server.accessLog | quote }}
{{- if include "model.shadowed" . }}
# What pods of a shadow count are copies: it goes to a part of the storage that the monitor does not read.
- name: PILOTAGE_RECORD_BELOW
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['pilotage.dev/storage-part']
{{- end }}
{{ include "model.stores" . }}
{{- with .Values.server.tokens }}{{ if .name }}
- name: PILOTAGE_AUTH_TOKENS_FILE
  value: /etc/pilotage/tokens/tokens
{{- end }}{{ end }}
{{- with .Values.server.verifyKey }}{{ if .name }}
- name: PILOTAGE_VERIFY_KEY_FILE
  value: /etc/pilotage/verify/verify.pem
{{- end }}{{ end }}
{{- if .Values.server.tlsSecret }}
- name: PILOTAGE_TLS_CERT_FILE
  value: /etc/pilotage/tls/tls.crt
- name: PILOTAGE_TLS_KEY_FILE
  value: /etc/pilotage/tls/tls.key
{{- end }}
{{- range $name, $value := .Values.server.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $from := .Values.server.secretEnv }}
{{- include "model.fromSecret" (dict "variable" $name "from" $from) }}
{{- end }}
{{- end -}}

{{/* Volumes and where they are mounted; a Secret is a folder, so that a renewed one is seen. */}}
{{- define "model.mounts" -}}
- name: pilot
  mountPath: /etc/pilotage/pilot
  readOnly: true
- name: home
  mountPath: /var/lib/pilotage
- name: tmp
  mountPath: /tmp
{{- if .Values.storage.volume.enabled }}
- name: windows
  mountPath: /var/lib/pilotage-storage
{{- end }}
{{- end -}}

{{- define "model.serverMounts" -}}
{{ include "model.mounts" . }}
{{- if .Values.server.tokens.name }}
- name: tokens
  mountPath: /etc/pilotage/tokens
  readOnly: true
{{- end }}
{{- if .Values.server.verifyKey.name }}
- name: verify
  mountPath: /etc/pilotage/verify
  readOnly: true
{{- end }}
{{- if .Values.server.tlsSecret }}
- name: tls
  mountPath: /etc/pilotage/tls
  readOnly: true
{{- end }}
{{- end -}}

{{- define "model.volumes" -}}
- name: pilot
  configMap:
    name: {{ include "model.object" (dict "root" . "suffix" "-pilot") }}
- name: home
  emptyDir:
    sizeLimit: {{ .Values.storage.scratch }}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
{{- if .Values.storage.volume.enabled }}
- name: windows
  persistentVolumeClaim:
    claimName: {{ include "model.claim" . }}
{{- end }}
{{- end -}}

{{- define "model.serverVolumes" -}}
{{ include "model.volumes" . }}
{{- with .Values.server.tokens }}{{ if .name }}
- name: tokens
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items:
      - key: {{ .key }}
        path: tokens
{{- end }}{{ end }}
{{- with .Values.server.verifyKey }}{{ if .name }}
- name: verify
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items:
      - key: {{ .key }}
        path: verify.pem
{{- end }}{{ end }}
{{- with .Values.server.tlsSecret }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* The server's container. Takes root, name. */}}
{{- define "model.server" -}}
{{- $ := .root -}}
- name: {{ .name }}
  image: {{ include "model.image" $.Values.image }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  args:
    - /etc/pilotage/pilot/pilot.yaml
    - --pin
    - {{ printf "%s=%d" $.Values.pilot (int $.Values.model.version) | quote }}
    - --host
    - 0.0.0.0
    - --port
    - "8080"
    {{- if $.Values.server.grpc }}
    - --grpc-port
    - "9000"
    {{- end }}
    - --workers
    - {{ $.Values.server.workers | int | quote }}
  env:
    {{- include "model.serverEnv" $ | nindent 4 }}
  {{- with include "model.storeVariables" $ | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  ports:
    - name: http
      containerPort: 8080
      protocol: TCP
    {{- if $.Values.server.grpc }}
    - name: grpc
      containerPort: 9000
      protocol: TCP
    {{- end }}
  # It listens soon, whether or not the model could be loaded; it is ready when it is, and tries until then.
  startupProbe:
    httpGet:
      path: /health/live
      port: http
      scheme: {{ include "model.scheme" $ }}
    periodSeconds: 2
    timeoutSeconds: 2
    failureThreshold: {{ div (add ($.Values.server.startupSeconds | int) 1) 2 }}
  readinessProbe:
    httpGet:
      path: /health/ready
      port: http
      scheme: {{ include "model.scheme" $ }}
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 2
  livenessProbe:
    httpGet:
      path: /health/live
      port: http
      scheme: {{ include "model.scheme" $ }}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  {{- if $.Values.drain.preStopSeconds }}
  # Proxies learn of the pod's end while it waits here; then SIGTERM begins the server's own drain.
  lifecycle:
    preStop:
      sleep:
        seconds: {{ $.Values.drain.preStopSeconds | int }}
  {{- end }}
  resources:
    {{- include "model.resources" $.Values.resources | nindent 4 }}
  securityContext:
    {{- include "model.containerSecurity" $ | nindent 4 }}
  volumeMounts:
    {{- include "model.serverMounts" $ | nindent 4 }}
{{- end -}}

{{/* Spread over zones and nodes, of each version by itself. */}}
{{- define "model.spread" -}}
{{- $ := . -}}
{{- range $key, $when := dict "topology.kubernetes.io/zone" .Values.topologySpread.zones "kubernetes.io/hostname" .Values.topologySpread.nodes }}
{{- if ne $when "Off" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: {{ $when }}
  labelSelector:
    matchLabels:
      {{- include "model.selector" (dict "root" $ "component" "server") | nindent 6 }}
      pilotage.dev/version: {{ $.Values.model.version | int | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a pod needs that serves; also the predictor of KServe. Takes root, container. */}}
{{- define "model.podSpec" -}}
{{- $ := .root -}}
serviceAccountName: {{ include "model.serviceAccount" $ }}
automountServiceAccountToken: false
# Variables of Services would be taken for settings: PILOTAGE_… is their prefix, too.
enableServiceLinks: false
# The wait above, the server's own drain (30 s at most) and some time to write what was counted.
terminationGracePeriodSeconds: {{ add ($.Values.drain.preStopSeconds | int) ($.Values.drain.delaySeconds | int) 45 }}
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "model.spread" $ | trim }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "model.podSecurity" $ | nindent 2 }}
containers:
  {{- include "model.server" (dict "root" $ "name" .container) | nindent 2 }}
volumes:
  {{- include "model.serverVolumes" $ | nindent 2 }}
{{- end -}}

{{/* The annotations that restart pods when what they were started with changes. */}}
{{- define "model.podAnnotations" -}}
{{- with .Values.podAnnotations }}
{{- toYaml . }}
{{ end -}}
checksum/pilot: {{ .Values.spec | toJson | sha256sum }}
{{- with .Values.model.digest }}
pilotage.dev/model-digest: {{ . | quote }}
{{- end }}
{{- with .Values.model.profile }}
pilotage.dev/profile-digest: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "model.podTemplate" -}}
metadata:
  labels:
    {{- include "model.podLabels" (dict "root" . "component" "server") | nindent 4 }}
    {{- if include "model.shadowed" . }}
    pilotage.dev/storage-part: ""
    {{- end }}
  annotations:
    {{- include "model.podAnnotations" . | nindent 4 }}
spec:
  {{- include "model.podSpec" (dict "root" . "container" "server") | nindent 2 }}
{{- end -}}

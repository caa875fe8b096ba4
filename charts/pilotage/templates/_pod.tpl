{{/* What pods have in common, and what the console's image needs to know. */}}

{{- define "pilotage.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "pilotage.containerSecurity" -}}
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

{{- define "pilotage.resources" -}}
requests:
  cpu: {{ .cpu | quote }}
  memory: {{ .memory | quote }}
limits:
  cpu: {{ .limits.cpu | quote }}
  memory: {{ .limits.memory | default .memory | quote }}
{{- end -}}

{{/* One variable from a Secret; nothing where no Secret is named. Takes variable, from. */}}
{{- define "pilotage.fromSecret" -}}
{{- if .from.name }}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .from.name }}
      key: {{ .from.key }}
{{- end }}
{{- end -}}

{{/* The head of every pod of ours. Takes root, component, where. */}}
{{- define "pilotage.podHead" -}}
serviceAccountName: {{ include "pilotage.account" . }}
automountServiceAccountToken: false
# Variables of Services would be taken for settings: PILOTAGE_… is their prefix, too.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .where.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .where.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .where.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .where.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "pilotage.podSecurity" .root | nindent 2 }}
{{- end -}}

{{/* The database, for whatever runs `pilotage`. Tables are changed by the Job alone. */}}
{{- define "pilotage.databaseEnv" -}}
- name: PILOTAGE_HOME
  value: /var/lib/pilotage
- name: PILOTAGE_MIGRATE
  value: "false"
{{- if .Values.postgresql.enabled }}
- name: PILOTAGE_DATABASE_URL
  value: {{ printf "postgresql+psycopg://pilotage@%s:5432/pilotage" (include "pilotage.object" (dict "root" . "suffix" "postgresql")) | quote }}
{{- include "pilotage.fromSecret" (dict "variable" "PGPASSWORD" "from" (dict "name" .Values.postgresql.passwords.name "key" .Values.postgresql.passwords.console)) }}
{{- else }}
{{- include "pilotage.fromSecret" (dict "variable" "PILOTAGE_DATABASE_URL" "from" .Values.database.url) }}
{{- end }}
{{- end -}}

{{/* Where models and windows are. */}}
{{- define "pilotage.storesEnv" -}}
- name: MLFLOW_TRACKING_URI
  value: {{ include "pilotage.trackingUri" . | quote }}
{{- if not .Values.mlflow.enabled }}
{{- include "pilotage.fromSecret" (dict "variable" "MLFLOW_TRACKING_USERNAME" "from" .Values.tracking.username) }}
{{- include "pilotage.fromSecret" (dict "variable" "MLFLOW_TRACKING_PASSWORD" "from" .Values.tracking.password) }}
{{- include "pilotage.fromSecret" (dict "variable" "MLFLOW_TRACKING_TOKEN" "from" .Values.tracking.token) }}
{{- end }}
{{- if .Values.storage.url }}
- name: PILOTAGE_STORAGE_URL
  value: {{ .Values.storage.url | quote }}
{{- else if .Values.storage.existingClaim }}
- name: PILOTAGE_STORAGE_URL
  value: /var/lib/pilotage-storage
{{- end }}
{{- include "pilotage.fromSecret" (dict "variable" "PILOTAGE_INSTALLATION_KEY" "from" .Values.installationKey) }}
{{- end -}}

{{/* The store's keys as variables. */}}
{{- define "pilotage.storeVariables" -}}
{{- if .Values.storage.secret }}
envFrom:
  - secretRef:
      name: {{ .Values.storage.secret }}
{{- end }}
{{- end -}}

{{- define "pilotage.scratchMounts" -}}
- name: home
  mountPath: /var/lib/pilotage
- name: tmp
  mountPath: /tmp
{{- end -}}

{{- define "pilotage.scratchVolumes" -}}
- name: home
  emptyDir:
    sizeLimit: {{ .Values.console.home.scratch }}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
{{- end -}}

{{- define "pilotage.storageMounts" -}}
{{- if .Values.storage.existingClaim }}
- name: storage
  mountPath: /var/lib/pilotage-storage
{{- end }}
{{- end -}}

{{- define "pilotage.storageVolumes" -}}
{{- if .Values.storage.existingClaim }}
- name: storage
  persistentVolumeClaim:
    claimName: {{ .Values.storage.existingClaim }}
{{- end }}
{{- end -}}

{{/* A Secret's key as a file. Takes volume, from, path. */}}
{{- define "pilotage.secretVolume" -}}
{{- if .from.name }}
- name: {{ .volume }}
  secret:
    secretName: {{ .from.name }}
    defaultMode: 0440
    items:
      - key: {{ .from.key }}
        path: {{ .path }}
{{- end }}
{{- end -}}

{{/* Takes volume, from, folder. */}}
{{- define "pilotage.secretMount" -}}
{{- if .from.name }}
- name: {{ .volume }}
  mountPath: {{ .folder }}
  readOnly: true
{{- end }}
{{- end -}}

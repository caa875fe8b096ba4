{{/* Names, labels and small sums that several manifests share. */}}

{{/* A name with a suffix, cut to a length and kept unique by a digest. Takes name, suffix, most. */}}
{{- define "model.fitted" -}}
{{- $room := int (sub .most (len .suffix)) -}}
{{- if le (len .name) $room -}}
{{- printf "%s%s" .name .suffix -}}
{{- else -}}
{{- printf "%s-%s%s" (trunc (int (sub $room 9)) .name | trimSuffix "-") (sha256sum .name | trunc 8) .suffix -}}
{{- end -}}
{{- end -}}

{{/* Name of an object of this release: the pilot's with a suffix. Takes root, suffix. */}}
{{- define "model.object" -}}
{{- include "model.fitted" (dict "name" .root.Values.pilot "suffix" .suffix "most" 63) -}}
{{- end -}}

{{/* What pods are selected by. The release's name is not in it: tools of delivery write that label anew. Takes root, component. */}}
{{- define "model.selector" -}}
app.kubernetes.io/name: pilotage-model
app.kubernetes.io/component: {{ .component }}
pilotage.dev/pilot: {{ .root.Values.pilot }}
{{- end -}}

{{/* Labels of every object. Takes root, component. */}}
{{- define "model.labels" -}}
{{- with .root.Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "model.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pilotage
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
pilotage.dev/version: {{ .root.Values.model.version | int | quote }}
{{- end -}}

{{/* Labels of a pod: those of its object but for the chart's version, which would restart pods for nothing. */}}
{{- define "model.podLabels" -}}
{{- with .root.Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "model.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: pilotage
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
pilotage.dev/version: {{ .root.Values.model.version | int | quote }}
{{- end -}}

{{/* Why this version is live, as annotations of the workload: a new reason restarts nothing. */}}
{{- define "model.evidence" -}}
pilotage.dev/model-version: {{ .Values.model.version | int | quote }}
{{- range $name, $value := merge (dict "model-digest" .Values.model.digest "profile-digest" .Values.model.profile) .Values.evidence }}
{{- if $value }}
pilotage.dev/{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* An image by digest, or by tag where it has none. */}}
{{- define "model.image" -}}
{{- $name := .repository -}}
{{- if .registry }}{{ $name = printf "%s/%s" (trimSuffix "/" .registry) .repository }}{{ end -}}
{{- if .digest }}{{ printf "%s@%s" $name .digest }}{{ else }}{{ printf "%s:%s" $name .tag }}{{ end -}}
{{- end -}}

{{- define "model.serviceAccount" -}}
{{- .Values.serviceAccount.name | default .Values.pilot -}}
{{- end -}}

{{/* Seconds of a duration such as 90s, 10m or 1.5h. */}}
{{- define "model.seconds" -}}
{{- $units := dict "s" 1 "m" 60 "h" 3600 "d" 86400 "w" 604800 -}}
{{- $unit := substr (int (sub (len .) 1)) (len .) . -}}
{{- mulf (float64 (trimSuffix $unit .)) (get $units $unit) | ceil | int64 -}}
{{- end -}}

{{/* The Service that asks every server; KServe takes the pilot's own name. */}}
{{- define "model.service" -}}
{{- if eq .Values.workload "InferenceService" -}}
{{- include "model.object" (dict "root" . "suffix" "-metrics") -}}
{{- else -}}
{{- .Values.pilot -}}
{{- end -}}
{{- end -}}

{{/* The Service that clients ask. */}}
{{- define "model.address" -}}
{{- if eq .Values.workload "InferenceService" -}}
{{- printf "%s-predictor" (include "model.inference" .) -}}
{{- else -}}
{{- .Values.pilot -}}
{{- end -}}
{{- end -}}

{{/* KServe appends to this name, so it is shorter. */}}
{{- define "model.inference" -}}
{{- include "model.fitted" (dict "name" .Values.pilot "suffix" "" "most" 48) -}}
{{- end -}}

{{- define "model.claim" -}}
{{- .Values.storage.volume.existingClaim | default (include "model.object" (dict "root" . "suffix" "-windows")) -}}
{{- end -}}

{{/* Whether shares of traffic are given by Argo Rollouts at all; empty when not. */}}
{{- define "model.progressive" -}}
{{- if and (eq .Values.workload "Rollout") (ne .Values.rollout.strategy "swap") -}}true{{- end -}}
{{- end -}}

{{- define "model.shadowed" -}}
{{- if and (eq .Values.workload "Rollout") (eq .Values.rollout.strategy "shadow") -}}true{{- end -}}
{{- end -}}

{{- define "model.routed" -}}
{{- if and (eq .Values.workload "Rollout") (eq .Values.rollouts.router "gateway") -}}true{{- end -}}
{{- end -}}

{{- define "model.autoscaled" -}}
{{- if and (ne .Values.autoscaling.kind "none") (ne .Values.workload "InferenceService") (gt (int .Values.replicas.max) (int .Values.replicas.min)) -}}true{{- end -}}
{{- end -}}

{{- define "model.scheme" -}}
{{- if .Values.server.tlsSecret }}HTTPS{{ else }}HTTP{{ end -}}
{{- end -}}

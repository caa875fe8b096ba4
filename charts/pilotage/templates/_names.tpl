{{/* Names, labels and addresses that several manifests share. */}}

{{/* Name of an object: the platform's with a suffix. Takes root, suffix. */}}
{{- define "pilotage.object" -}}
{{- printf "%s-%s" .root.Values.name .suffix -}}
{{- end -}}

{{/* What pods are selected by. The release's name is not in it: tools of delivery write that label anew. Takes root, component. */}}
{{- define "pilotage.selector" -}}
app.kubernetes.io/name: {{ .root.Values.name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of a pod: those of its object but for the chart's version, which would restart pods for nothing. Takes root, component. */}}
{{- define "pilotage.podLabels" -}}
{{- with .root.Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "pilotage.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: pilotage
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{/* Labels of every object. Takes root, component. */}}
{{- define "pilotage.labels" -}}
{{ include "pilotage.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image by digest, or by tag where it has none. */}}
{{- define "pilotage.image" -}}
{{- $name := .repository -}}
{{- if .registry }}{{ $name = printf "%s/%s" (trimSuffix "/" .registry) .repository }}{{ end -}}
{{- if .digest }}{{ printf "%s@%s" $name .digest }}{{ else }}{{ printf "%s:%s" $name .tag }}{{ end -}}
{{- end -}}

{{/* Host, and host with port, of the address that people use. */}}
{{- define "pilotage.hostname" -}}
{{- (urlParse .Values.console.url).hostname -}}
{{- end -}}

{{/* Where programs inside the cluster reach the console. */}}
{{- define "pilotage.insideHost" -}}
{{- printf "%s.%s.svc" (include "pilotage.object" (dict "root" . "suffix" "console")) .Release.Namespace -}}
{{- end -}}

{{- define "pilotage.trackingUri" -}}
{{- if .Values.mlflow.enabled -}}
{{- printf "http://%s.%s.svc:5000" (include "pilotage.object" (dict "root" . "suffix" "mlflow")) .Release.Namespace -}}
{{- else -}}
{{- .Values.tracking.uri -}}
{{- end -}}
{{- end -}}

{{- define "pilotage.account" -}}
{{- printf "%s-%s" .root.Values.name .component -}}
{{- end -}}

{{/* Order for Argo CD, which applies waves one after the other; others apply all at once, and everything waits for what it needs. */}}
{{- define "pilotage.wave" -}}
argocd.argoproj.io/sync-wave: {{ . | quote }}
{{- end -}}

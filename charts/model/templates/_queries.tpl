{{/* PromQL over what servers count, by the pods' hash: version numbers alone would not tell a new image from an old one. */}}

{{/* A sum by version's pods. Takes root, metric, hash, by. */}}
{{- define "model.selected" -}}
{{ .metric }}{namespace="{{ .root.Release.Namespace }}",pilot="{{ .root.Values.pilot }}",rollouts_pod_template_hash="{{ printf "{{args.%s}}" .hash }}"}
{{- end -}}

{{/* All that the new version's pods counted since they began: they are as old as the rollout. */}}
{{- define "model.new" -}}
sum({{ include "model.selected" (dict "root" .root "metric" .metric "hash" "hash") }})
{{- end -}}

{{/* What the older version's pods counted of late. */}}
{{- define "model.old" -}}
sum(increase({{ include "model.selected" (dict "root" .root "metric" .metric "hash" "stable-hash") }}[{{ .root.Values.rollouts.window }}]))
{{- end -}}

{{/* Requests that the new version was given; nothing, when it was given none. */}}
{{- define "model.query.requests" -}}
{{- $answered := include "model.new" (dict "root" . "metric" "pilotage_version_requests_total") -}}
{{- $failed := include "model.new" (dict "root" . "metric" "pilotage_version_failures_total") -}}
({{ $answered }} or vector(0)) + ({{ $failed }} or vector(0))
{{- end -}}

{{/* Share of failed requests beyond the older version's; nothing until five failed or enough came. */}}
{{- define "model.query.errors" -}}
{{- $failed := include "model.new" (dict "root" . "metric" "pilotage_version_failures_total") -}}
{{- $old := include "model.old" (dict "root" . "metric" "pilotage_version_failures_total") -}}
{{- $answered := include "model.old" (dict "root" . "metric" "pilotage_version_requests_total") -}}
(
  {{ $failed }} / ({{ include "model.query.requests" . }})
  - ({{ $old }} / (({{ $old }} + {{ $answered }}) > 0) or vector(0))
)
and (({{ $failed }} >= 5) or ({{ include "model.query.requests" . }} >= {{ .Values.rollout.minRequests | int }}))
{{- end -}}

{{/* Ratio of the 99th percentiles of model time; nothing until enough came. */}}
{{- define "model.query.latency" -}}
{{- $new := include "model.selected" (dict "root" . "metric" "pilotage_version_model_seconds_bucket" "hash" "hash") -}}
{{- $old := include "model.selected" (dict "root" . "metric" "pilotage_version_model_seconds_bucket" "hash" "stable-hash") -}}
(
  histogram_quantile(0.99, sum by (le) ({{ $new }}))
  / (histogram_quantile(0.99, sum by (le) (increase({{ $old }}[{{ .Values.rollouts.window }}]))) > 0)
)
and ({{ include "model.query.requests" . }} >= {{ .Values.rollout.minRequests | int }})
{{- end -}}

{{/* Scores of one side by bin, each with half a score more: no bin is empty, and both sides have the same. Takes root, side. */}}
{{- define "model.scores" -}}
{{- $new := printf "sum by (bin) (%s)" (include "model.selected" (dict "root" .root "metric" "pilotage_version_scores_total" "hash" "hash")) -}}
{{- $old := printf "sum by (bin) (increase(%s[%s]))" (include "model.selected" (dict "root" .root "metric" "pilotage_version_scores_total" "hash" "stable-hash")) .root.Values.rollouts.window -}}
{{- if eq .side "new" -}}
(({{ $new }} or 0 * {{ $old }}) + 0.5)
{{- else -}}
(({{ $old }} or 0 * {{ $new }}) + 0.5)
{{- end -}}
{{- end -}}

{{/*
Population stability index between the scores of both, less what chance gives it and three of its deviations; nothing
until enough came. Shares add up to 1 on both sides, so the logarithm may be that of counts.
*/}}
{{- define "model.query.score" -}}
{{- $new := include "model.scores" (dict "root" . "side" "new") -}}
{{- $old := include "model.scores" (dict "root" . "side" "old") -}}
{{- $chance := printf "(1 / sum(%s) + 1 / sum(%s))" $new $old -}}
{{- $freedom := printf "(count(%s) - 1)" $new -}}
(
  sum(({{ $new }} / scalar(sum({{ $new }})) - {{ $old }} / scalar(sum({{ $old }}))) * ln({{ $new }} / {{ $old }}))
  - {{ $chance }} * ({{ $freedom }} + 3 * sqrt(2 * {{ $freedom }}))
)
and ({{ include "model.query.requests" . }} >= {{ .Values.rollout.minRequests | int }})
and (sum({{ $old }}) >= {{ .Values.rollout.minRequests | int }})
{{- end -}}

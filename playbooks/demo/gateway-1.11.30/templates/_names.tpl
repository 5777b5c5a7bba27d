{{- define "gateway.labels" -}}
app: gateway
release: {{ .root.Release.Name }}
component: {{ .component }}
{{- end }}

{{- define "gateway.metadataLabels" -}}
{{ include "gateway.labels" . }}
version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- end }}

{{- define "gateway.host" -}}
{{ .root.Release.Name }}-{{ .component }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}
{{- end }}

{{/* How long after its health check began to fail the balancer has certainly noticed, in seconds. */}}
{{- define "gateway.noticed" -}}
{{ addf (mulf .Values.proxy.drain.interval .Values.proxy.drain.threshold) 0.5 }}
{{- end }}

{{- define "gateway.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

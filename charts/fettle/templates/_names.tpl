{{- define "fettle.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fettle.operatorName" -}}
{{- printf "%s-operator" (include "fettle.fullname" .) -}}
{{- end -}}

{{- define "fettle.apiName" -}}
{{- printf "%s-api" (include "fettle.fullname" .) -}}
{{- end -}}

{{- define "fettle.engineName" -}}
{{- printf "%s-engine" (include "fettle.fullname" .) -}}
{{- end -}}

{{- define "fettle.testName" -}}
{{- printf "%s-test" (include "fettle.fullname" .) -}}
{{- end -}}

{{/* ClusterRoles have no namespace: two releases of one name must not share them. */}}
{{- define "fettle.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "fettle.fullname" .) -}}
{{- end -}}

{{- define "fettle.apiKeySecret" -}}
{{- default (printf "%s-api-key" (include "fettle.fullname" .)) .Values.api.apiKey.existingSecret -}}
{{- end -}}

{{- define "fettle.webhookKeySecret" -}}
{{- default (printf "%s-webhook-key" (include "fettle.fullname" .)) .Values.api.webhooks.existingSecret -}}
{{- end -}}

{{/* Empty where the engine has no key. */}}
{{- define "fettle.engineKeySecret" -}}
{{- if .Values.api.engine.existingSecret -}}
{{- .Values.api.engine.existingSecret -}}
{{- else if .Values.engine.enabled -}}
{{- printf "%s-engine-key" (include "fettle.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "fettle.engineUrl" -}}
{{- if .Values.engine.enabled -}}
http://{{ include "fettle.engineName" . }}.{{ .Release.Namespace }}:8000
{{- else -}}
{{- .Values.api.engine.url -}}
{{- end -}}
{{- end -}}

{{- define "fettle.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: fettle
{{ include "fettle.selector" . }}
{{- end -}}

{{- define "fettle.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Takes a dictionary with `root` and `image`. */}}
{{- define "fettle.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Keys of engines as files, NAMESPACE.NAME: nobody gets those of another namespace. Empty where there is none. */}}
{{- define "fettle.operatorEngineKeys" -}}
{{- with include "fettle.engineKeySecret" . }}
- secret:
    name: {{ . }}
    items: [{key: {{ $.Values.api.engine.key }}, path: {{ $.Release.Namespace }}.{{ $.Values.api.engine.key }}}]
{{- end }}
{{- range .Values.operator.engineKeys }}
- secret:
    name: {{ .secret }}
    items: [{key: {{ .key }}, path: {{ .namespace }}.{{ .name }}}]
{{- end }}
{{- end -}}

{{/* What a schema cannot say. Each message names the values and what to do. */}}
{{- define "fettle.check" -}}
{{- if and .Values.engine.enabled .Values.api.engine.url -}}
{{- fail "api.engine.url and engine.enabled name two engines: leave out one of them" -}}
{{- end -}}
{{- if and .Values.engine.enabled (not .Values.api.enabled) -}}
{{- fail "engine.enabled: nothing loads adapters into the built-in engine when api.enabled is false" -}}
{{- end -}}
{{- $ports := dict "8080" "the main port of the container" -}}
{{- range $dialect, $port := .Values.api.service.dialectPorts -}}
{{- with get $ports (toString $port) -}}
{{- fail (printf "api.service.dialectPorts.%s: port %v is %s; choose another, or null for none" $dialect $port .) -}}
{{- end -}}
{{- $_ := set $ports (toString $port) (printf "that of %s" $dialect) -}}
{{- if eq (int $port) (int $.Values.api.service.port) -}}
{{- fail (printf "api.service.dialectPorts.%s: port %v is api.service.port; choose another, or null for none" $dialect $port) -}}
{{- end -}}
{{- end -}}
{{- if .Values.api.ingress.enabled -}}
{{- if not .Values.api.ingress.hosts -}}
{{- fail "api.ingress.hosts: name at least one host, for example api.ingress.hosts.http=tuning.example.com" -}}
{{- end -}}
{{- if eq (dig "FETTLE_API_AUTHENTICATION" .Values.api.authentication .Values.api.environment) "none" -}}
{{- fail "api.ingress.enabled: whoever reaches a port without authentication may do everything; set api.authentication to apikey or token" -}}
{{- end -}}
{{- range $dialect, $host := .Values.api.ingress.hosts -}}
{{- if not (or (eq $dialect "http") (hasKey $.Values.api.service.dialectPorts $dialect)) -}}
{{- fail (printf "api.ingress.hosts.%s: api.service.dialectPorts.%s has no port; give it one, or leave the host out" $dialect $dialect) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

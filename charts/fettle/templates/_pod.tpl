{{/* What all pods have in common. Takes a dictionary with `root`, `part` (the values of the part), and, where the pod
mounts the workspace, `mountsWorkspace`. */}}
{{- define "fettle.podSpec" -}}
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "fettle.affinity" . }}
{{- end -}}

{{/* Where the claim can be mounted on one node only, each pod that mounts it goes where another is. The first goes
anywhere: the scheduler lets a pod that fits its own rule begin. */}}
{{- define "fettle.affinity" -}}
{{- $affinity := deepCopy (.part.affinity | default dict) -}}
{{- if and .mountsWorkspace (include "fettle.isOnOneNode" .root) -}}
{{- $pods := $affinity.podAffinity | default dict -}}
{{- $beside := dict "labelSelector" (dict "matchLabels" (include "fettle.mountsWorkspace" .root | fromYaml)) "topologyKey" "kubernetes.io/hostname" -}}
{{- $required := append ($pods.requiredDuringSchedulingIgnoredDuringExecution | default list) $beside -}}
{{- $_ := set $affinity "podAffinity" (set $pods "requiredDuringSchedulingIgnoredDuringExecution" $required) -}}
{{- else if and (not $affinity) .component -}}
{{- $labels := set (include "fettle.selector" .root | fromYaml) "app.kubernetes.io/component" .component -}}
{{- $apart := dict "weight" 100 "podAffinityTerm" (dict "labelSelector" (dict "matchLabels" $labels) "topologyKey" "kubernetes.io/hostname") -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list $apart)) -}}
{{- end -}}
{{- with $affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "fettle.isOnOneNode" -}}
{{- if not (has "ReadWriteMany" .Values.workspace.accessModes) -}}true{{- end -}}
{{- end -}}

{{- define "fettle.mountsWorkspace" -}}
fettle.dev/mounts-workspace: "true"
{{- end -}}

{{- define "fettle.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}

{{- define "fettle.environment" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

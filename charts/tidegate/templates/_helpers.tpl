{{- define "tidegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "tidegate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tidegate.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tidegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tidegate.labels" -}}
{{ include "tidegate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tidegate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tidegate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The namespaces that are watched, as JSON: the release's own unless said. */}}
{{- define "tidegate.namespaces" -}}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | toJson -}}
{{- end -}}

{{- define "tidegate.clusterWide" -}}
{{- if has "*" .Values.watchNamespaces }}true{{ end -}}
{{- end -}}

{{- define "tidegate.memoryName" -}}
{{- printf "%s-memory" (include "tidegate.fullname" .) -}}
{{- end -}}

{{/* The settings file. What the chart fills in wins over .Values.settings. */}}
{{- define "tidegate.settings" -}}
{{- $memory := merge (dict "name" (include "tidegate.memoryName" .) "namespace" .Release.Namespace) (dig "memory" dict .Values.settings) -}}
{{- $fixed := dict
  "apiVersion" "tidegate.dev/v1alpha1"
  "kind" "Settings"
  "mode" (ternary "Apply" "Recommend" (eq .Values.mode "apply"))
  "watchNamespaces" (include "tidegate.namespaces" . | fromJsonArray)
  "policyPaths" (list "/etc/tidegate/policies")
  "web" (dict "listen" "0.0.0.0:8080")
  "memory" $memory -}}
{{- merge $fixed .Values.settings | toYaml -}}
{{- end -}}

{{/* What it takes in every watched namespace. A write verb on a target only ever stands under mode=apply. */}}
{{- define "tidegate.rules" -}}
{{- $apply := eq .Values.mode "apply" -}}
{{- range .Values.targets.scale.resources }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource | quote }}, {{ printf "%s/scale" .resource | quote }}]
  verbs: [get]
{{- if and $apply $.Values.targets.scale.enabled }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ printf "%s/scale" .resource | quote }}]
  verbs: [patch]
{{- end }}
{{- end }}
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [{{ ternary "get, list, patch" "get, list" (and $apply .Values.targets.horizontalPodAutoscaler.enabled) }}]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [{{ ternary "get, list, patch" "get, list" (and $apply .Values.targets.scaledObject.enabled) }}]
{{- $scheduled := .Values.targets.scheduledSparkApplication.enabled }}
{{- $restarts := .Values.targets.sparkApplication.enabled }}
{{- $allocator := .Values.targets.sparkAllocator.enabled }}
{{- $cluster := .Values.targets.sparkCluster.enabled }}
{{- if or $scheduled $restarts $allocator }}
- apiGroups: [sparkoperator.k8s.io]
  resources: [scheduledsparkapplications, sparkapplications]
  verbs: [get]
# A quota caps executors: then bounds are left alone.
- apiGroups: [""]
  resources: [resourcequotas]
  verbs: [list]
{{- end }}
{{- if and $apply $scheduled }}
- apiGroups: [sparkoperator.k8s.io]
  resources: [scheduledsparkapplications]
  verbs: [patch]
{{- end }}
{{- if and $apply $restarts }}
# Any change of one starts it again: rung restart alone.
- apiGroups: [sparkoperator.k8s.io]
  resources: [sparkapplications]
  verbs: [patch]
{{- end }}
{{- if or $restarts $allocator }}
- apiGroups: [spark.apache.org]
  resources: [sparkapplications]
  verbs: [get]
{{- end }}
{{- if $cluster }}
- apiGroups: [spark.apache.org]
  resources: [sparkclusters]
  verbs: [get]
{{- end }}
{{- if or $allocator $cluster .Values.targets.flinkTaskManagers.enabled }}
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get]
# Which of them are idle, and which wait for a node. Written is the cost of their deletion alone.
- apiGroups: [""]
  resources: [pods]
  verbs: [{{ ternary "list, patch" "list" $apply }}]
{{- if $apply }}
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch]
{{- end }}
{{- end }}
{{- if .Values.targets.flinkDeployment.enabled }}
- apiGroups: [flink.apache.org]
  resources: [flinkdeployments, flinksessionjobs]
  verbs: [{{ ternary "get, patch" "get" $apply }}]
- apiGroups: [flink.apache.org]
  resources: [flinkstatesnapshots]
  verbs: [list]
{{- end }}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

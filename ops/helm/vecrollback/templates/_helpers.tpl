{{- define "vecrollback.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "vecrollback.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vecrollback.labels" -}}
{{ include "vecrollback.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* What every container of the image has in common: the server, the worker and the one that lays the store out. */}}
{{- define "vecrollback.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: VECROLLBACK_STORE
    value: {{ required "store.uri is where the files are: s3://BUCKET/PREFIX" .Values.store.uri | quote }}
  - name: VECROLLBACK_CATALOG
    value: {{ required "catalog.url is the catalog's database: postgresql+psycopg://..." .Values.catalog.url | quote }}
  {{- range $name, $value := .Values.env }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
{{- with .Values.existingSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - {name: models, mountPath: /models{{ if .Values.models.existingClaim }}, readOnly: true{{ end }}}
  - {name: cache, mountPath: /cache}
  - {name: tmp, mountPath: /tmp}
{{- end -}}

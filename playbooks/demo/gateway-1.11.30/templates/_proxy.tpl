{{- define "gateway.bootstrap" -}}
{{- .Files.Get "files/bootstrap.yaml"
  | replace "@VERSION@" .Chart.AppVersion
  | replace "@BIND@" (ternary "" "0.0.0.0" .Values.fault.noListener)
  | replace "@ADMIN_ADDRESS@" .Values.proxy.admin.address
  | replace "@ADMIN_PORT@" (toString .Values.proxy.admin.port)
  | replace "@ERRORS@" (toString .Values.fault.errors)
  | replace "@CONTROL_PLANE@" (include "gateway.host" (dict "root" . "component" "control-plane")) }}
{{- end }}

{{- define "gateway.drain" -}}
{{- .Files.Get "files/drain.sh"
  | replace "@ADMIN_HOST@" "127.0.0.1"
  | replace "@ADMIN_PORT@" (toString .Values.proxy.admin.port)
  | replace "@NOTICED@" (include "gateway.noticed" .)
  | replace "@LONGEST@" (toString .Values.proxy.drain.longestRequest) }}
{{- end }}

{{/* The pod template of a proxy, for the chart's own Deployment and for the controller's. */}}
{{- define "gateway.proxyTemplate" -}}
metadata:
  labels:
    {{- include "gateway.labels" (dict "root" . "component" "proxy") | nindent 4 }}
    version: {{ .Chart.AppVersion | quote }}
spec:
  # The drain, and five seconds for what may come between.
  terminationGracePeriodSeconds: {{ addf (include "gateway.noticed" . | float64) .Values.proxy.drain.longestRequest 5 | ceil }}
  automountServiceAccountToken: false
  containers:
    - name: envoy
      image: {{ .Values.proxy.image }}
      args:
        - --config-yaml
        - {{ include "gateway.bootstrap" . | quote }}
        - --service-node
        - $(POD_NAME)
        - --concurrency
        - "1"
        - --disable-hot-restart
        - --file-flush-interval-msec
        - "100"
        - --drain-time-s
        - {{ max 1 (ceil .Values.proxy.drain.longestRequest) | quote }}
        - --log-level
        - {{ ternary "no-such-level" "warning" .Values.fault.crashLoop }}
        - --component-log-level
        - misc:error,main:error
      env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
      ports:
        - {name: http, containerPort: 8080}
        - {name: admin, containerPort: {{ .Values.proxy.admin.port }}}
      readinessProbe:
        {{- if .Values.fault.noListener }}
        exec:
          command:
            - /bin/bash
            - -c
            - {{ .Files.Get "files/live.sh" | replace "@ADMIN_PORT@" (toString .Values.proxy.admin.port) | quote }}
        {{- else }}
        httpGet: {path: {{ ternary "/never" "/envoy-hc" .Values.fault.neverReady }}, port: http}
        {{- end }}
        periodSeconds: 1
        timeoutSeconds: 2
        failureThreshold: 2
      {{- if ne .Values.proxy.admin.address "127.0.0.1" }}
      # Not /ready: that turns bad as soon as the pod is taken out of rotation on purpose.
      livenessProbe:
        httpGet: {path: /server_info, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      {{- end }}
      lifecycle:
        preStop:
          exec:
            command:
              - /bin/bash
              - -c
              - {{ include "gateway.drain" . | quote }}
      securityContext:
        {{- include "gateway.security" . | nindent 8 }}
      {{- with .Values.proxy.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

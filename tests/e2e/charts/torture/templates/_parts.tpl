{{- define "torture.programs" -}}
{name: programs, configMap: {name: {{ .Release.Name }}-programs, defaultMode: 0555}}
{{- end -}}

{{- define "torture.programs.mount" -}}
{name: programs, mountPath: /programs, readOnly: true}
{{- end -}}

{{- define "torture.hook" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  annotations:
    helm.sh/hook: {{ .on }}
    helm.sh/hook-weight: {{ .weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: 0
  template:
    spec:
      serviceAccountName: torture-hooks
      restartPolicy: Never
      containers:
        - name: record
          image: {{ .root.Values.image }}
          command: [python3, /programs/record.py]
          args: ["{{ .name }} {{ .root.Release.Revision }}"]
          volumeMounts: [{name: programs, mountPath: /programs}]
      volumes: [{name: programs, configMap: {name: torture-hook-programs}}]
{{- end -}}

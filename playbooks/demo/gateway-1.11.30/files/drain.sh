# Leave without losing a request: fail the balancer's health check, wait until it has noticed, tell the
# clients on open connections to go, wait for the longest request.
post() {
  exec 3<>/dev/tcp/@ADMIN_HOST@/@ADMIN_PORT@
  printf 'POST %s HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' "$1" >&3
  cat <&3 >/dev/null
  exec 3>&-
}
post /healthcheck/fail
sleep @NOTICED@
post '/drain_listeners?graceful'
sleep @LONGEST@

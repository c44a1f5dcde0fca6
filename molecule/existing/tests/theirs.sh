# The sites of somebody, made by hand on a host with Nginx of the package: names that ours could have too, a log below /home.
set -e
mkdir -p /var/www/legacy/static /home/web /etc/ssl/theirs
echo 'legacy <b>page</b>' >/var/www/legacy/index.html
echo 'not here' >/var/www/legacy/404.html
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=secure.example.org \
  -keyout /etc/ssl/theirs/key.pem -out /etc/ssl/theirs/cert.pem 2>/dev/null
rm -f /etc/nginx/sites-enabled/default

# It lives from being the first: names that no site has are answered by it.
cat >/etc/nginx/sites-available/legacy <<'END'
server {
    listen 80;
    server_name legacy.example.org;
    root /var/www/legacy;
    access_log /home/web/legacy.log;
    error_page 404 /404.html;
    add_header X-Legacy yes always;
    location /old { return 302 /new; }
}
END
ln -sf ../sites-available/legacy /etc/nginx/sites-enabled/legacy

cat >/etc/nginx/snippets/proxy.conf <<'END'
proxy_set_header Connection $connection_upgrade;
proxy_set_header X-Real-IP theirs;
END
cat >/etc/nginx/conf.d/secure.conf <<'END'
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
map $request_uri $port { default theirs; }
log_format json escape=json '{"theirs":"$uri"}';
limit_req_zone $binary_remote_addr zone=clients:1m rate=1000r/s;
upstream hello { server 127.0.0.1:8081; }
client_max_body_size 3k;
add_header X-Theirs everywhere;
server {
    listen 127.0.0.1:8081;
    location / { return 200 "$http_connection $http_x_real_ip $http_host\n"; }
}
server {
    listen 443 ssl;
    server_name secure.example.org;
    ssl_certificate /etc/ssl/theirs/cert.pem;
    ssl_certificate_key /etc/ssl/theirs/key.pem;
    access_log /var/log/nginx/theirs.log json;
    location / { return 200 "secure $port\n"; }
    location /proxied {
        limit_req zone=clients burst=500 nodelay;
        proxy_pass http://hello;
        include snippets/proxy.conf;
    }
    location /gone { proxy_pass http://127.0.0.1:9; }
}
END
systemctl enable --now nginx 2>/dev/null
nginx -t -q
systemctl reload nginx

# An administrator's host: nobody but root reads what root writes, and sudo asks for a password.
for service in sshd sudo; do
  grep -q pam_umask /etc/pam.d/$service || echo 'session optional pam_umask.so umask=027' >>/etc/pam.d/$service
done
id admin >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --groups sudo admin
echo 'admin:a password' | chpasswd
install -d -m 700 -o admin -g admin /home/admin/.ssh
install -m 600 -o admin -g admin /root/.ssh/authorized_keys /home/admin/.ssh/authorized_keys

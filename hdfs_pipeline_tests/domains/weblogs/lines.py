"""Access lines in every layout, and what of each record differs from `COMBINED`, the record of the plainest one."""

from datetime import UTC, datetime
from typing import Any

HEAD = '203.0.113.7 - - [30/Nov/2026:10:15:00 +0000] "GET /a/b?c=1 HTTP/1.1" 200 512'
BOTH = f'{HEAD} "https://a.example/" "curl/8.5 (x; y)"'
COMBINED: dict[str, Any] = {
    "time": datetime(2026, 11, 30, 10, 15, tzinfo=UTC),
    "service": "",
    "client": "203.0.113.7",
    "account": "",
    "method": "GET",
    "path": "/a/b",
    "query": "c=1",
    "protocol": "HTTP/1.1",
    "status": 200,
    "bytes": 512,
    "request_bytes": None,
    "response_us": None,
    "referer": "https://a.example/",
    "agent": "curl/8.5 (x; y)",
    "endpoint": "/a/b",
    "layout": "Combined",
    "fault": None,
}
_BARE = {"referer": "", "agent": ""}
NGINX = (
    '{"time_iso8601":"2026-11-30T11:15:00+01:00","remote_addr":"203.0.113.7","remote_user":"","request":"GET /a/b?c=1 '
    'HTTP/1.1","status":"200","body_bytes_sent":"512","request_time":"0.042","upstream_response_time":"0.040",'
    '"http_referrer":"https://a.example/","http_user_agent":"curl/8.5 (x; y)"}'
)
CADDY = (
    '{"level":"info","ts":1796033700.0,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":'
    '"203.0.113.7","remote_port":"41342","client_ip":"203.0.113.7","proto":"HTTP/1.1","method":"GET","host":'
    '"a.example:8443","uri":"/a/b?c=1","headers":{"User-Agent":["curl/8.5 (x; y)"],"Referer":["https://a.example/"]}},'
    '"bytes_read":7,"user_id":"jo","duration":0.000929675,"size":512,"status":200,"resp_headers":{}}'
)
TRAEFIK = (
    '{"ClientAddr":"203.0.113.7:5000","ClientHost":"203.0.113.7","ClientPort":"5000","ClientUsername":"-",'
    '"DownstreamContentSize":512,"DownstreamStatus":200,"Duration":42000000,"RequestContentSize":0,"RequestHost":'
    '"a.example","RequestMethod":"GET","RequestPath":"/a/b?c=1","RequestProtocol":"HTTP/1.1","StartUTC":'
    '"2026-11-30T10:15:00.123456789Z","request_Referer":"https://a.example/","request_User-Agent":"curl/8.5 (x; y)",'
    '"level":"info","msg":"","time":"2026-11-30T10:15:00Z"}'
)
ALB_JSON = (
    '{"type":"https","time":"2026-11-30T10:15:00.000000Z","elb":"app/lb/50dc","client_ip":"203.0.113.7","client_port":'
    '2817,"request_processing_time":0.001,"target_processing_time":0.04,"response_processing_time":0.001,'
    '"elb_status_code":200,"received_bytes":34,"sent_bytes":512,"request_verb":"GET","request_url":'
    '"https://a.example:443/a/b?c=1","request_proto":"HTTP/1.1","user_agent":"curl/8.5 (x; y)","domain_name":"-"}'
)
LINES: tuple[tuple[str, dict[str, Any]], ...] = (
    (BOTH, {}),
    (f"{BOTH}  ", {}),
    (f"\ufeff{BOTH}\r", {}),
    (HEAD, {**_BARE, "layout": "Common"}),
    (HEAD.replace("203.0.113.7", "2001:db8::1"), {**_BARE, "client": "2001:db8::1", "layout": "Common"}),
    (HEAD.replace("203.0.113.7", "node-7.example.com"), {**_BARE, "client": "node-7.example.com", "layout": "Common"}),
    (HEAD.replace("+0000", "+0530").replace("10:15", "15:45"), {**_BARE, "layout": "Common"}),
    (HEAD.replace("- -", "- jo"), {**_BARE, "account": "jo", "layout": "Common"}),
    (HEAD.replace("- -", '- ""'), {**_BARE, "layout": "Common"}),
    (HEAD.replace("- -", "- Jo Doe"), {**_BARE, "account": "Jo Doe", "layout": "account of words, Common"}),
    (HEAD.replace("- -", "-  - "), {**_BARE, "layout": "Common"}),  # as Jetty 6 wrote it
    (HEAD.replace("200 512", "499 -"), {**_BARE, "status": 499, "bytes": None, "layout": "Common"}),
    (HEAD.replace("200 512", "000 0"), {**_BARE, "status": 0, "bytes": 0, "layout": "Common"}),
    (
        HEAD.replace("GET /a/b?c=1 HTTP/1.1", "-"),
        {**_BARE, "method": "", "path": "", "query": "", "protocol": "", "endpoint": "-", "layout": "Common"},
    ),
    (
        HEAD.replace("GET /a/b?c=1 HTTP/1.1", ""),
        {**_BARE, "method": "", "path": "", "query": "", "protocol": "", "endpoint": "-", "layout": "Common"},
    ),
    (
        HEAD.replace("GET /a/b?c=1 HTTP/1.1", r"\x16\x03\x01\x02"),
        {
            **_BARE,
            "method": r"\x16\x03\x01\x02",
            "path": "",
            "query": "",
            "protocol": "",
            "endpoint": "-",
            "layout": "Common",
        },
    ),
    (
        HEAD.replace("/a/b?c=1", r"/a b\"c\\?d\" e"),
        {**_BARE, "path": r"/a b\"c\\", "query": r"d\" e", "endpoint": r"/a b\"c\\", "layout": "Common"},
    ),
    (BOTH.replace("curl/8.5 (x; y)", "end\\"), {"agent": "end\\"}),
    (BOTH.replace("curl/8.5 (x; y)", 'a "b" c'), {"agent": 'a "b" c'}),
    (BOTH.replace("curl/8.5 (x; y)", "Jörg"), {"agent": "Jörg"}),
    (BOTH.replace('"https://a.example/" "curl/8.5 (x; y)"', '"-" "-"'), _BARE),
    (f"{BOTH} 0.042", {"response_us": 42_000, "layout": "Combined, seconds"}),
    (f"{BOTH} 0.042 -", {"response_us": 42_000, "layout": "Combined, seconds and those behind"}),
    (f"{BOTH} 0.042 0.001, 0.040", {"response_us": 42_000, "layout": "Combined, seconds and those behind"}),
    (f"{BOTH} 0.042 0.001 : 0.040", {"response_us": 42_000, "layout": "Combined, seconds and those behind"}),
    (f"{BOTH} 42001", {"response_us": 42_001, "layout": "Combined, whole number"}),
    (f"{BOTH} 0/42001", {"response_us": 42_001, "layout": "Combined, %T/%D"}),
    (f'{BOTH} "192.0.2.1"', {"layout": "Combined, forwarded for"}),
    (f'{BOTH} "-" 0.042', {"response_us": 42_000, "layout": "Combined, forwarded for, seconds"}),
    (f'{BOTH} rt=0.042 uct="-" urt="-"', {"response_us": 42_000, "layout": "Combined, rt="}),
    (f"{BOTH} 345 870", {"request_bytes": 345, "layout": "Combined, bytes in and out"}),
    (f'{BOTH} "session=1" w-3', {"layout": "Combined and more"}),
    (f"{HEAD} 0.5", {**_BARE, "response_us": 500_000, "layout": "Common, seconds"}),
    (f"www.a.example:443 {BOTH}", {"service": "www.a.example", "layout": "host first, Combined"}),
    (f"www.a.example:8443 {BOTH}", {"service": "www.a.example:8443", "layout": "host first, Combined"}),
    (
        f"a.example {BOTH} 0.042",
        {"service": "a.example", "response_us": 42_000, "layout": "host first, Combined, seconds"},
    ),
    (f'{BOTH} 17 "web@docker" "http://10.0.0.9:80" 42ms', {"response_us": 42_000, "layout": "Traefik"}),
    (
        f"{BOTH} 345 0.042 [default-web-80] [] 10.1.0.4:80 512 0.040 200 4f2c",
        {"request_bytes": 345, "response_us": 42_000, "layout": "ingress-nginx"},
    ),
    (
        "h2 2026-11-30T10:15:00.000000Z app/lb/50dc [2001:db8::1]:2817 10.0.1.1:80 0.000 0.041 0.001 200 200 34 512 "
        '"GET https://a.example:443/a/b?c=1 HTTP/1.1" "curl/8.5 (x; y)" ECDHE TLSv1.2 arn:aws:x "Root=1" "b.example" '
        '"arn" 0 2026-11-30T10:15:00.000000Z "forward" "-" "-" "10.0.1.1:80" "200" "-" "-"',
        {
            "client": "2001:db8::1",
            "service": "b.example",
            "request_bytes": 34,
            "response_us": 42_000,
            "referer": "",
            "layout": "AWS ALB",
        },
    ),
    (
        "http 2026-11-30T10:15:00.000000Z app/lb/50dc 203.0.113.7:2817 - -1 -1 -1 502 - 34 512 "
        '"GET http://a.example:80/a/b?c=1 HTTP/1.1" "curl/8.5 (x; y)" - - arn:aws:x "Root=1" "-" "-" 0 x',
        {"service": "a.example", "status": 502, "request_bytes": 34, "referer": "", "layout": "AWS ALB"},
    ),
    (
        HEAD.replace("/a/b?c=1", "/webhdfs/v1/user/jo/x?op=open&user.name=jo") + ' "-" "curl" 12',
        {
            "path": "/webhdfs/v1/user/jo/x",
            "query": "op=open&user.name=jo",
            "endpoint": "/webhdfs/v1/OPEN",
            "response_us": 12_000,
            "referer": "",
            "agent": "curl",
            "layout": "Combined, whole number",
        },
    ),
    (
        f"2026-11-30 10:15:00,123 INFO http.requests.kms: {HEAD} 12",
        {**_BARE, "service": "kms", "response_us": 12_000, "layout": "Hadoop, Common, ms"},
    ),
    (f"2026-11-30 10:15:00,123 INFO http.requests.nn: {BOTH}", {"service": "nn", "layout": "Hadoop, Combined"}),
    (f'"{BOTH}"', {}),
    ('"' + BOTH.replace('"', '""') + '"', {}),
    ('"' + BOTH.replace('"', r"\"") + '"', {}),
    (NGINX, {"response_us": 42_000, "layout": "nginx JSON"}),
    (
        NGINX.replace('"0.042"', '"-"').replace('"0.040"', '"0.1, 0.2"'),
        {"response_us": 300_000, "layout": "nginx JSON"},
    ),
    (CADDY, {"service": "a.example:8443", "account": "jo", "request_bytes": 7, "response_us": 930, "layout": "Caddy"}),
    (
        TRAEFIK,
        {
            "time": datetime(2026, 11, 30, 10, 15, 0, 123456, tzinfo=UTC),
            "service": "a.example",
            "request_bytes": 0,
            "response_us": 42_000,
            "layout": "Traefik JSON",
        },
    ),
    (
        ALB_JSON,
        {"service": "a.example", "request_bytes": 34, "response_us": 42_000, "referer": "", "layout": "AWS ALB JSON"},
    ),
    ('{"message":' + '"' + BOTH.replace('"', r"\"") + '","@timestamp":"2026-11-30T10:15:01Z"}', {}),
)
FAULTS = (
    ("", "it is empty"),
    ("Started GET", "no layout fits"),
    (HEAD.replace("30/Nov", "31/Nov"), "its time cannot be"),
    (HEAD.replace("10:15", "25:15"), "its time cannot be"),
    (HEAD.replace("2026", "9999"), "its time cannot be"),
    (HEAD.replace(" 200 ", " OK "), "where its status should stand"),
    (BOTH.removesuffix('y)"'), "where its user agent"),
    ('{"a": 1', "cannot be read as JSON"),
    ('{"a": 1}', "JSON without the time"),
    (NGINX.replace("2026-11-30", "2026-02-30"), "its time cannot be"),
    ('"quoted"', "no access line"),
)
PATTERNS = (
    ('%h %l %u %t "%r" %>s %b %D', f"{HEAD} 42", {"response_us": 42}),
    ('%h %l %u %t "%r" %>s %b %T', f"{HEAD} 42", {"response_us": 42_000_000}),
    ('%h %l %u %t "%r" %>s %b %{ms}T', f"{HEAD} 42", {"response_us": 42_000}),
    ('%h %l %u %t \\"%r\\" %>s %b %T %D', f"{HEAD} 1 42", {"response_us": 42}),
    (
        "%v:%p|%{X-Forwarded-For}i|%a|%{%Y-%m-%d %H:%M:%S %z}t|%m|%U%q|%H|%>s|%O|%I",
        "a.example:8443|-|2001:db8::1|2026-11-30 12:15:00 +0200|PUT|/a b?c=1|HTTP/2.0|201|5|7",
        {
            "service": "a.example",
            "client": "2001:db8::1",
            "method": "PUT",
            "path": "/a b",
            "query": "c=1",
            "protocol": "HTTP/2.0",
            "status": 201,
            "bytes": 5,
            "request_bytes": 7,
        },
    ),
    (
        '$msec $remote_addr:$remote_port "$request" $status ${body_bytes_sent}B rt="$request_time" '
        'up="$upstream_response_time"',
        '1796033700.250 ::1:4711 "GET / HTTP/1.1" 200 5B rt="0.001" up="0.001, 0.002"',
        {
            "time": datetime(2026, 11, 30, 10, 15, 0, 250_000, tzinfo=UTC),
            "client": "::1",
            "bytes": 5,
            "response_us": 1000,
        },
    ),
    (
        "$time_iso8601 $host $request_method $request_uri $status $upstream_response_time",
        "2026-11-30T10:15:00 a.example GET /a?b 200 0.001, 0.002",
        {"service": "a.example", "path": "/a", "query": "b", "response_us": 3000},
    ),
)

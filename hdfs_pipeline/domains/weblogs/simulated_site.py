"""What is simulated: services with their endpoints, who uses them, and what scanners ask for. Data only."""

from dataclasses import dataclass
from typing import Final

VARIABLES: Final = ("", "id", "slug", "hex", "word", "image", "file", "folder")
"""What stands at `{}` in a path or query: nothing, or one of a pool of texts."""


@dataclass(frozen=True)
class Endpoint:
    """A kind of request: `path` and `query` with `{}` where a variable stands, times in ms, rates as shares of 1.

    Response times and sizes are log-normal. `weight` is how often it is chosen among those of its group: pages that
    users walk among (to the paths in `leads_to` above all), or what pages load beside themselves (`part`).
    """

    path: str
    weight: float
    median_ms: float
    sigma: float = 0.4
    size: int = 5_000
    errors: float = 0.002
    misses: float = 0.003
    method: str = "GET"
    status: int = 200
    variable: str = ""
    query: str = ""
    leads_to: tuple[str, ...] = ()
    part: bool = False

    @property
    def is_static(self) -> bool:
        """Whether it is a file that never changes: its size is fixed, and browsers ask whether it is new."""
        return self.part and not self.path.startswith("/api/")


@dataclass(frozen=True)
class Audience:
    """Those who use a service alike: `share` of all requests, `views` pages in a session, `gap_s` seconds between.

    `parts` is how many files a page brings along, `people` how many clients there are for each request a second,
    `depth` how much they follow day and week, `only` the one path they ask for.
    """

    service: str
    share: float
    agents: tuple[str, ...]
    views: float
    gap_s: float
    network: str = "world"
    gap_sigma: float = 0.9
    parts: float = 0.0
    people: float = 400.0
    depth: float = 1.0
    only: str = ""


SERVICES: Final[dict[str, tuple[Endpoint, ...]]] = {
    "shop.example": (
        Endpoint("/", 10, 35, size=18_000, errors=0.001, leads_to=("/products", "/search")),
        Endpoint("/products", 14, 60, size=24_000, leads_to=("/products/{}",)),
        Endpoint("/products/{}", 24, 80, 0.5, 16_000, misses=0.008, variable="id", leads_to=("/cart", "/products/{}")),
        Endpoint("/search", 9, 180, 0.7, 14_000, query="q={}", variable="word", leads_to=("/products/{}",)),
        Endpoint("/cart", 6, 55, size=7_000, errors=0.003, leads_to=("/checkout", "/products")),
        Endpoint("/checkout", 3, 420, 0.5, 1_500, 0.008, method="POST", status=302, leads_to=("/orders/{}",)),
        Endpoint("/orders/{}", 3, 90, size=6_000, misses=0.002, variable="id", leads_to=("/",)),
        Endpoint("/login", 3, 140, 0.3, 900, misses=0.06, method="POST", status=302, leads_to=("/account",)),
        Endpoint("/account", 3, 70, size=8_000, leads_to=("/orders/{}",)),
        Endpoint("/static/app.{}.css", 18, 1.2, 0.3, 42_000, 0.0005, 0.0, variable="hex", part=True),
        Endpoint("/static/app.{}.js", 18, 1.6, 0.3, 310_000, 0.0005, 0.0, variable="hex", part=True),
        Endpoint("/images/{}.jpg", 34, 2.5, 0.6, 65_000, 0.001, 0.006, variable="image", part=True),
        Endpoint("/favicon.ico", 3, 0.8, 0.2, 4_286, 0.0005, 0.0, part=True),
        Endpoint("/api/cart", 8, 22, 0.4, 350, 0.002, 0.002, part=True),
        Endpoint("/api/prices/{}", 12, 12, 0.4, 180, 0.002, 0.004, variable="id", part=True),
        Endpoint("/api/recommendations", 7, 240, 0.6, 5_200, 0.012, 0.0, query="for={}", variable="id", part=True),
    ),
    "blog.example": (
        Endpoint("/", 20, 25, size=30_000, errors=0.001, leads_to=("/posts/{}",)),
        Endpoint("/posts/{}", 50, 30, 0.5, 22_000, 0.001, 0.015, variable="slug", leads_to=("/posts/{}", "/tags/{}")),
        Endpoint("/tags/{}", 10, 40, size=15_000, errors=0.001, variable="word", leads_to=("/posts/{}",)),
        Endpoint("/feed.xml", 12, 9, 0.3, 52_000, 0.001, 0.0),
        Endpoint("/about", 4, 14, 0.3, 9_000, 0.001, 0.0, leads_to=("/",)),
        Endpoint("/comments", 3, 110, 0.5, 400, 0.004, 0.03, method="POST", status=201, leads_to=("/posts/{}",)),
        Endpoint("/assets/style.{}.css", 20, 1.0, 0.3, 21_000, 0.0005, 0.0, variable="hex", part=True),
        Endpoint("/assets/{}.png", 40, 2.2, 0.5, 90_000, 0.0005, 0.01, variable="image", part=True),
        Endpoint("/assets/fonts/{}.woff2", 12, 1.4, 0.3, 28_000, 0.0005, 0.0, variable="hex", part=True),
        Endpoint("/api/comments/{}", 14, 28, 0.5, 1_900, 0.004, 0.004, variable="slug", part=True),
    ),
    "api.example": (
        Endpoint("/v1/users/{}", 24, 14, 0.4, 640, 0.001, 0.006, variable="id", leads_to=("/v1/orders",)),
        Endpoint("/v1/orders", 20, 38, 0.5, 4_100, 0.002, 0.002, query="page={}", variable="id"),
        Endpoint("/v1/orders/{}", 22, 20, 0.4, 1_200, 0.002, 0.008, variable="id", leads_to=("/v1/items/{}",)),
        Endpoint("/v1/orders/new", 6, 130, 0.5, 210, 0.006, 0.012, method="POST", status=201),
        Endpoint("/v1/items/{}", 18, 8, 0.4, 480, 0.001, 0.005, variable="id"),
        Endpoint("/v1/search", 6, 160, 0.8, 6_500, 0.004, 0.002, query="q={}&limit=20", variable="word"),
        Endpoint("/v1/export", 1, 2_600, 0.6, 2_400_000, 0.02, 0.002, query="year=2026"),
        Endpoint("/v1/sessions/{}", 4, 18, 0.4, 0, 0.001, 0.01, method="DELETE", status=204, variable="hex"),
        Endpoint("/v1/health", 1, 1.5, 0.3, 15, 0.0005, 0.0),
    ),
    "httpfs.example": (
        Endpoint("/webhdfs/v1{}", 26, 9, 0.5, 900, 0.002, 0.01, query="op=LISTSTATUS&user.name=etl", variable="folder"),
        Endpoint("/webhdfs/v1{}", 34, 5, 0.4, 320, 0.001, 0.02, query="op=GETFILESTATUS", variable="file"),
        Endpoint("/webhdfs/v1{}", 26, 380, 1.1, 8_000_000, 0.003, 0.008, query="op=OPEN&offset=0", variable="file"),
        Endpoint(
            "/webhdfs/v1{}", 8, 520, 0.9, 0, 0.005, 0.003, "PUT", 201, "file", "op=CREATE&data=true&user.name=etl"
        ),
        Endpoint("/webhdfs/v1{}", 4, 12, 0.4, 20, 0.002, 0.004, "DELETE", 200, "file", "op=DELETE&user.name=etl"),
        Endpoint("/webhdfs/v1{}", 2, 16, 0.4, 20, 0.002, 0.002, "PUT", 200, "folder", "op=MKDIRS&user.name=etl"),
        Endpoint("/jmx", 6, 24, 0.4, 58_000, 0.001, 0.0, query="qry=Hadoop:*"),
    ),
}  # fmt: skip

_BROWSERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 "
    "Edg/142.0.0.0",
)
_CRAWLERS: Final = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
)
_PROGRAMS: Final = ("okhttp/4.12.0", "python-requests/2.32.5", "Go-http-client/2.0", "ShopApp/7.4 CFNetwork Darwin/24")
_CLUSTER: Final = (
    "Apache-HttpClient/4.5.13 (Java/1.8.0_412)",
    "Java/1.8.0_412",
    "curl/7.88.1",
    "python-requests/2.32.5",
)

AUDIENCES: Final = (
    Audience("shop.example", 0.50, _BROWSERS, views=5, gap_s=18, parts=2.6),
    Audience("blog.example", 0.17, _BROWSERS, views=2.2, gap_s=40, parts=2.2, people=900),
    Audience("api.example", 0.19, _PROGRAMS, views=9, gap_s=2.5, people=120, depth=0.8),
    Audience("httpfs.example", 0.08, _CLUSTER, views=25, gap_s=0.8, network="cluster", people=0.5, depth=0.3),
    Audience("shop.example", 0.025, _CRAWLERS, views=60, gap_s=7, network="crawlers", people=0.3, depth=0.0),
    Audience("blog.example", 0.025, _CRAWLERS, views=40, gap_s=9, network="crawlers", people=0.3, depth=0.0),
    Audience(
        "api.example", 0.01, ("kube-probe/1.31",), 30, 10, "cluster", 0.02, people=0.05, depth=0.0, only="/v1/health"
    ),
)  # fmt: skip

SCANNERS: Final = (
    "sqlmap/1.8.11#stable (https://sqlmap.org)",
    "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:Port Check)",
    "Mozilla/5.0 zgrab/0.x",
    "gobuster/3.6",
    "python-requests/2.32.5",
    "-",
    _BROWSERS[0],
    _BROWSERS[5],
)
"""Agents of scanners; half of them wear a common program's or a browser's."""

PROBES: Final = (
    "/wp-login.php", "/wp-admin/setup-config.php", "/xmlrpc.php", "/.env", "/.env.production", "/.git/config",
    "/.git/HEAD", "/.aws/credentials", "/phpmyadmin/index.php", "/pma/index.php", "/phpMyAdmin/scripts/setup.php",
    "/admin.php", "/administrator/index.php", "/manager/html", "/solr/admin/info/system", "/actuator/env",
    "/actuator/heapdump", "/server-status", "/config.json", "/backup.zip", "/backup.sql", "/db.sql.gz", "/shell.php",
    "/cgi-bin/luci", "/cgi-bin/../../../../etc/passwd", "/../../../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/shadow", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/boaform/admin/formLogin",
    "/HNAP1/", "/owa/auth/logon.aspx", "/autodiscover/autodiscover.xml", "/telescope/requests", "/console/",
    "/debug/default/view", "/api/v1/pods", "/containers/json", "/hudson/script", "/jenkins/login", "/web.config",
    "/.DS_Store",
)  # fmt: skip
"""Paths that scanners ask for and no service here has."""

PROBE_QUERIES: Final = (
    "", "", "", "", "id=1%27%20OR%20%271%27=%271", "id=1+UNION+SELECT+1,2,3--", "q=%3Cscript%3Ealert(1)%3C/script%3E",
    "page=../../../../etc/passwd", "cmd=cat+/etc/passwd", "author=1",
)  # fmt: skip

WORDS: Final = (
    "lamp", "chair", "table", "garden", "kitchen", "winter", "summer", "paper", "coffee", "tea", "bicycle", "camera",
    "window", "carpet", "mirror", "pillow", "blanket", "shelf", "clock", "candle", "basket", "bottle", "jacket",
    "boots", "gloves", "scarf", "tent", "rope", "hammer", "drill", "paint", "brush", "pencil", "notebook", "puzzle",
    "guitar", "piano", "drum", "violin", "ticket", "wallet", "watch", "ring", "bread", "honey", "spice", "olive",
)  # fmt: skip

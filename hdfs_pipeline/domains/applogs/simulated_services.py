"""What is simulated: services with the messages that they write. Data only."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Template:
    """A kind of message: `text` with `{slot}` where values stand, chosen as often as `weight` says."""

    level: str
    weight: float
    text: str


@dataclass(frozen=True)
class Service:
    """A service: `share` of all messages, `hosts` it runs on, `depth` how much it follows day and week.

    It writes from the hour `hours[0]` until before `hours[1]` of working days, where given, and in the first `minutes`
    minutes of each hour.
    """

    name: str
    share: float
    hosts: int
    depth: float
    templates: tuple[Template, ...]
    hours: tuple[int, int] | None = None
    minutes: int = 60


_TRACE: Final = (
    "\n\tat org.apache.hadoop.ipc.Client.call(Client.java:1586)\n\tat org.apache.hadoop.ipc.ProtobufRpcEngine2$Invoker"
    ".invoke(ProtobufRpcEngine2.java:258)\n\tat java.base/java.lang.Thread.run(Thread.java:840)"
)

SERVICES: Final = (
    Service(
        "resourcemanager",
        0.24,
        2,
        0.6,
        (
            Template("INFO", 14, "{app} State change from SUBMITTED to ACCEPTED on event = APP_ACCEPTED"),
            Template("INFO", 14, "{app} State change from ACCEPTED to RUNNING on event = ATTEMPT_REGISTERED"),
            Template("INFO", 30, "{container} Container Transitioned from NEW to ALLOCATED"),
            Template("INFO", 30, "{container} Container Transitioned from ACQUIRED to RUNNING"),
            Template("INFO", 24, "Assigned container {container} of capacity <memory:{size}, vCores:1> on host {host}"),
            Template("INFO", 10, "USER={user} OPERATION=Submit Application Request RESULT=SUCCESS APPID={app}"),
            Template("INFO", 6, "Application {app} unregistered successfully, 0 errors"),
            Template("WARN", 1.2, "Maximum size of queue {user} reached, application {app} waits"),
            Template("WARN", 0.8, "Node {host} missed a heartbeat, last seen {ms} ms ago"),
            Template("ERROR", 0.25, "Error cleaning up attempt of {app}: java.io.IOException: Broken pipe" + _TRACE),
            Template("ERROR", 0.15, "Failed to renew token of {user} for {app}"),
        ),
    ),
    Service(
        "regionserver",
        0.28,
        6,
        0.7,
        (
            Template("INFO", 22, "Flushed memstore of region {region} of {size} KB in {ms} ms, sequenceid={id}"),
            Template("INFO", 16, "Completed compaction of {num} files in store {region} into {path}, took {ms} ms"),
            Template("DEBUG", 40, "LruBlockCache: totalSize={size} KB, accesses={id}, hits={id}, evicted={ms}"),
            Template("INFO", 10, "Rolled WAL {path} with entries={id}, filesize={size} KB"),
            Template("INFO", 8, "Scanner {id} lease expired on region {region}"),
            Template("WARN", 2.0, "(responseTooSlow): method=Scan, processingTimeMs={ms}, client={host}"),
            Template("WARN", 1.0, "Slow sync cost: {ms} ms, current pipeline: [{host}, {host}]"),
            Template("ERROR", 0.2, "Failed to open region {region}, tried {host}: NotServingRegionException" + _TRACE),
            Template("ERROR", 0.15, "Cache flush of region {region} failed, will be tried again"),
        ),
    ),
    Service(
        "hiveserver2",
        0.12,
        2,
        0.9,
        (
            Template("INFO", 20, "Compiling command(queryId=hive_{id}): SELECT count(*) FROM {user}.events"),
            Template("INFO", 20, "Completed compiling command(queryId=hive_{id}); Time taken: {ms} ms"),
            Template("INFO", 18, "Executing command(queryId=hive_{id}) as {user}"),
            Template("INFO", 18, "Completed executing command(queryId=hive_{id}); Time taken: {ms} ms"),
            Template("INFO", 10, "Opened a connection to metastore, current connections: {num}"),
            Template("WARN", 1.5, "Statistics of table {user}.events are stale, the plan may be slow"),
            Template("ERROR", 0.4, "FAILED: SemanticException [Error 10001]: Line 1:14 Table not found '{user}_tmp'"),
            Template("ERROR", 0.2, "FAILED: Execution Error, return code 2 from TezTask, queryId=hive_{id}" + _TRACE),
        ),
    ),
    Service(
        "spark-driver",
        0.16,
        4,
        0.5,
        (
            Template("INFO", 30, "Starting task {num}.0 in stage {num}.0 (TID {id}) ({host}, executor {num})"),
            Template("INFO", 30, "Finished task {num}.0 in stage {num}.0 (TID {id}) in {ms} ms on {host} ({num}/200)"),
            Template("INFO", 10, "Block broadcast_{num} stored as values in memory (estimated size {size} KiB)"),
            Template("INFO", 5, "Job {num} finished: save at Daily.scala:{num}, took {ms} ms"),
            Template("WARN", 1.6, "Lost task {num}.0 in stage {num}.0 (TID {id}) ({host}): FetchFailed"),
            Template("ERROR", 0.2, "Task {num} in stage {num}.0 failed 4 times; aborting job"),
            Template("ERROR", 0.2, "Lost executor {num} on {host}: worker lost"),
        ),
    ),
    Service(
        "checkout",
        0.10,
        3,
        1.0,
        (
            Template("INFO", 30, "order {id} placed by user {id}, {num} items"),
            Template("INFO", 26, "payment of order {id} authorised in {ms} ms"),
            Template("INFO", 16, "mail for order {id} queued"),
            Template("WARN", 1.2, "payment provider answered late: {ms} ms, order {id}"),
            Template("ERROR", 0.4, "payment of order {id} declined by provider: timeout after 30000 ms"),
            Template("ERROR", 0.15, "could not reserve stock of item {id}: conflict"),
        ),
    ),
    Service(
        "auth",
        0.07,
        2,
        1.0,
        (
            Template("INFO", 40, "user {id} signed in from {host}"),
            Template("INFO", 25, "token of user {id} renewed"),
            Template("INFO", 10, "user {id} signed out"),
            Template("WARN", 2.5, "wrong password for user {id}, attempt {num}"),
            Template("ERROR", 0.3, "directory {host} did not answer in 5000 ms"),
        ),
    ),
    Service(
        "reporting",
        0.02,
        1,
        1.0,
        (
            Template("INFO", 30, "report {id} for {user} rendered in {ms} ms"),
            Template("INFO", 20, "export {path} written, {size} KB"),
            Template("WARN", 0.8, "report {id} has no rows for {day}"),
            Template("ERROR", 0.2, "report {id} failed: database does not answer"),
        ),
        hours=(8, 18),
    ),
    Service(
        "billing-cron",
        0.01,
        1,
        0.0,
        (
            Template("INFO", 10, "billing run {id} begins, {num} accounts"),
            Template("INFO", 40, "account {id} billed"),
            Template("INFO", 10, "billing run {id} ends after {ms} ms, 0 errors"),
            Template("ERROR", 0.1, "account {id} could not be billed: no address"),
        ),
        minutes=4,
    ),
)

STRANGERS: Final = (
    ("cryptd", (Template("INFO", 1, "worker {num} accepted share {id} from pool {host}"),)),
    ("debug-shell", (Template("INFO", 1, "session {id} opened for {user} from {host}"),)),
    ("canary-tmp", (Template("DEBUG", 1, "probe {id} finished in {ms} ms"), Template("INFO", 1, "canary {num} is up"))),
    ("test-worker-old", (Template("WARN", 1, "queue {user} is empty, sleeping {ms} ms"),)),
)
"""Services that nobody has heard of, with what they write."""

ODD: Final = (
    Template("INFO", 3, "{dump}"),
    Template("INFO", 2, "{short}"),
    Template("INFO", 3, "{strange}"),
)
"""Messages that no service writes: far too long, far too short, or of a text never seen."""

FATAL: Final = (
    ": java.lang.OutOfMemoryError: Java heap space",
    " (segfault at 0 ip 00007f3a error 4)",
    "; kernel reports disk failure on /dev/sdb",
    ": FATAL: data corruption detected",
    " - panic: runtime error: invalid memory address",
    "; no space left on device",
    ": deadlock detected",
    " killed by the OOM killer",
)
"""What stands at the end of an otherwise normal message."""

USERS: Final = ("etl", "ana", "marketing", "ops", "science", "finance", "web", "nightly")

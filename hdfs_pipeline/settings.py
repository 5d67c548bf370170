"""Every setting once: name, default, unit and meaning.

Sources, strongest first: arguments, environment (``HDFS_PIPELINE_*``), files in the folder ``HDFS_PIPELINE_SECRETS``,
``<home>/settings.toml``, defaults.
"""

import logging
import os
import re
import stat
import tomllib
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.shown import is_secret

PREFIX = "HDFS_PIPELINE_"
BOOTSTRAP = "KAFKA_BOOTSTRAP_SERVERS"  # the name that Kafka's own tools and most programs use
SECRETS = f"{PREFIX}SECRETS"  # a folder with a file per setting, as Docker and Kubernetes mount secrets
_OTHERS = {"SECRETS", "SHARED", "FAULTS_SEED"}  # variables that are no settings: this one, and those of the tests
_LONG_S = 366 * 86_400.0
_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))  # minute, hour, day, month, weekday
_log = logging.getLogger("hdfs_pipeline.settings")
PROJECT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """The settings of one home."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, allow_inf_nan=False
    )

    home: Path = Field(Path("data"), description="Folder of one cluster: store, models, MLflow, Dagster's history.")
    seed: int = Field(7, ge=0, lt=2**32, description="Seed of every random choice; the same seed gives the same model.")
    log_timezone: str = Field("UTC", description="Time zone that the daemons wrote their time stamps in (IANA name).")
    log_layouts: dict[str, str] = Field(
        default_factory=dict,
        description="Layouts of one's own: patterns of log4j, each with an example line that it must fit; JSON.",
    )
    block_pool: str = Field(
        "",
        description="Block pool whose records this home takes (BP-…); empty: the first one that it meets.",
    )
    json_fields: dict[str, str] = Field(
        default_factory=dict,
        description="Where an unknown shipper's JSON has its parts: dotted names by line, host, file, container, time, "
        "level, logger, thread, message, stack; JSON.",
    )
    max_record_bytes: int = Field(1 << 20, ge=1024, description="Bytes; a longer log record becomes a dead letter.")
    lock_timeout_s: float = Field(
        30.0, gt=0, le=86_400, description="Seconds to wait for the store before naming its holder."
    )
    memory_limit: str = Field("1GB", description="DuckDB's memory limit, as DuckDB writes it.")
    random_forest_threshold: float = Field(
        0.75, ge=0, le=1, description="Probability from which the random forest flags an item."
    )
    autoencoder_quantile: float = Field(
        0.999, gt=0, lt=1, description="Quantile of the autoencoder's training errors above which it flags an item."
    )
    isolation_forest_contamination: float = Field(
        0.03, gt=0, lt=1, description="Share of the training items that the isolation forest flags."
    )
    kmeans_quantile: float = Field(
        0.999, gt=0, lt=1, description="Quantile of the training distances above which k-means flags an item."
    )
    pca_quantile: float = Field(
        0.999, gt=0, lt=1, description="Quantile of the training residuals above which PCA flags an item."
    )
    rhythm_quantile: float = Field(
        0.999, gt=0, lt=1, description="Quantile of the training scores above which the rhythm of counts flags an item."
    )
    logistic_regression_threshold: float = Field(
        0.5, ge=0, le=1, description="Probability from which logistic regression flags an item."
    )
    sgd_threshold: float = Field(0.5, ge=0, le=1, description="Probability from which the SGD detector flags an item.")
    catalogue: str = Field(
        "auto",
        description="Template catalogue, such as hdfs_3.v2; auto chooses the one that matches the first lines best.",
    )
    online_delay_s: float = Field(
        900.0,
        ge=0,
        le=_LONG_S,
        description="Seconds until `compare --split online` learns the label of an item that was flagged.",
    )
    ensemble_members: tuple[str, ...] = Field(
        ("autoencoder", "combinations"),
        min_length=1,
        description="Detectors whose mean opinion is the ensemble's; JSON.",
    )
    hybrid_threshold: float = Field(0.75, ge=0, le=1, description="Score from which the hybrid flags an item.")
    unfinished_s: float = Field(
        120.0,
        ge=0,
        description="Seconds before the end of the logs in which a block may still be written or deleted: what is "
        "missing of it then may lie outside of them.",
    )
    alarm_limit: float = Field(
        0.2, gt=0, le=1, description="Share of flagged items above which verdicts are called implausible."
    )
    unseen_limit: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of items with features that training never saw, above which a model is called foreign.",
    )
    unknown_limit: float = Field(
        0.05, gt=0, le=1, description="Share of events without a template above which a model is called foreign."
    )
    rules_left_out: tuple[str, ...] = Field(
        (),
        description='Ids of rules of an item\'s life that say nothing here, as a JSON list; "disputed" for all such.',
    )
    new_here_a_day: float = Field(
        0.5,
        ge=0,
        description="False alarms a day that a model trained without labels may give by calling what is rare new here.",
    )
    incident_gap_s: float = Field(
        30.0, gt=0, description="Seconds without an anomaly of its kind after which the next one is another incident."
    )
    incident_lone_gap_s: float = Field(
        3600.0, ge=0, description="Seconds between lone anomalies of one kind and entity that are one incident."
    )
    incident_quiet_s: float = Field(
        300.0, gt=0, description="Seconds of further records without an anomaly after which an incident is over."
    )
    silence_s: float = Field(
        1200.0,
        gt=0,
        description="Seconds without data of a server, while others send, after which `status` tells it.",
    )
    incident_expiry_h: float = Field(
        24.0, gt=0, description="Hours without a new record after which an open incident has expired."
    )
    champion: str = Field(
        "random_forest",
        description="Detector whose verdicts on blocks become anomalies; best: the one that retrainings choose.",
    )
    test_share: float = Field(
        0.5, gt=0, lt=1, description="Share of the labelled items kept for testing in each split."
    )
    retrain_batch_size: int = Field(1000, ge=1, description="New items from which a challenger is trained.")
    retrain_holdout_share: float = Field(
        0.2, gt=0, lt=1, description="Share of the new items, the latest, on which challenger and champion are judged."
    )
    retrain_holdout_blocks: int = Field(
        100, ge=1, description="Fewest items on which challenger and champion are judged."
    )
    retrain_pause_hours: float = Field(
        24.0, ge=0, description="Least hours between two retrainings that drift asks for; new items wait for none."
    )
    retrain_rest_hours: float = Field(
        1.0,
        ge=0,
        description="Least hours between two retrainings that new items ask for; people's words wait for none.",
    )
    retrain_feedback: int = Field(
        10,
        ge=1,
        description="Items with new or changed feedback from which a challenger is trained, however few items are new.",
    )
    feedback_labels: int = Field(
        20, ge=2, description="Items that people must call real before they count as labels in a home without labels."
    )
    champion_metric: Literal["f1", "pr_auc", "precision", "recall"] = Field(
        "f1", description="Figure by which challengers and detectors are chosen: f1, pr_auc, precision or recall."
    )
    champion_margin: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How far a challenger's `champion_metric` must lie above the champion's before it serves, and a "
        "detector's above the serving one's before it is the `best`.",
    )
    champion_confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="How sure it must be that such a lead is no chance: by a paired randomisation test on the same "
        "labelled items.",
    )
    champion_min_blocks: int = Field(
        20, ge=1, description="Fewest labelled items on which a challenger can take the champion's place."
    )
    champion_min_anomalies: int = Field(
        10,
        ge=1,
        description="Fewest anomalies, and fewest normal items, among them, and fewest anomalies that a challenger "
        "learns from labels; without labels, fewest items that both models must flag.",
    )
    models_keep: int = Field(
        5,
        ge=1,
        description="Latest versions of each model that are kept; the one that serves, the one before it and those "
        "that rows of the store name are kept anyway.",
    )
    drift_blocks: int = Field(
        2000, ge=1, description="Latest items, new to a model, that are held against those it learned from."
    )
    drift_min_blocks: int = Field(500, ge=2, description="Fewest new items from which drift is reported.")
    drift_psi: float = Field(
        0.25, gt=0, description="Population stability index from which a column or the scores have drifted."
    )
    drift_unknown: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="Rise of the share of events without a template from which that share has drifted.",
    )
    drift_unseen: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Share of items with features that training never saw, from which they have drifted.",
    )
    backtest_start: date = Field(date(2008, 11, 1), description="First day that can be backtested, UTC.")
    bootstrap_samples: int = Field(
        500, ge=0, description="Resamples behind each 95 % interval; 0 leaves the intervals out."
    )
    kafka_bootstrap_servers: str = Field(
        default_factory=lambda: os.environ.get(BOOTSTRAP, ""),
        description=f"Kafka's brokers; also read from {BOOTSTRAP}. Empty: the embedded broker of this home.",
    )
    kafka: dict[str, str] = Field(
        default_factory=dict,
        repr=False,  # passwords
        description="Further settings of librdkafka by its own names (security.protocol, …); JSON in the environment.",
    )
    kafka_partitions: int = Field(50, ge=1, description="Partitions of each Kafka topic.")
    kafka_topic_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,150}$",
        description="Text before the name of every topic on the brokers, so that several installations share them.",
    )
    stream_group: str = Field("hdfs_pipeline", description="Consumer group of the stream workers.")
    stream_idle_s: float = Field(
        60.0,
        gt=0,
        le=_LONG_S,
        description="Seconds without a record, in event time, after which a stream worker closes a block.",
    )
    stream_clock_skew_s: float = Field(
        60.0,
        gt=0,
        description="Seconds by which a host's clock may be ahead of others'; beyond that it counts as wrong.",
    )
    stream_max_events: int = Field(1000, ge=1, description="Records at which a stream worker closes a block at once.")
    stream_min_events: int = Field(
        0, ge=0, description="Records from which an open block gets a provisional verdict; 0 gives none."
    )
    stream_memory_mb: int = Field(
        512, ge=1, description="MiB that the blocks in a worker's memory may take, open and remembered ones."
    )
    stream_gather_ms: int = Field(
        30, ge=0, le=60_000, description="Milliseconds between two batches of a worker, where few records come."
    )
    stream_report_s: float = Field(
        60.0, ge=1, le=3600, description="Seconds between two reports of a worker to its log and to Dagster."
    )
    sink_max_records: int = Field(2_000_000, ge=1, description="Messages that one run takes from a topic to the store.")
    run_records: int = Field(
        250_000,
        ge=1,
        description="Records that wait in Kafka, or to be parsed, for which Dagster starts a run at once.",
    )
    run_wait_s: float = Field(
        120.0, ge=0, le=86_400, description="Seconds after which Dagster starts a run for what waits, however little."
    )
    history_days: float = Field(
        7.0, gt=0, description="Days to keep Dagster's runs; the latest one of each asset stays."
    )
    history_failed_days: float = Field(30.0, gt=0, description="Days to keep Dagster's runs that failed.")
    experiments_days: float = Field(180.0, gt=0, le=3660, description="Days to keep experiments on load.")
    alertmanager_url: str = Field(
        "",
        repr=False,  # passwords
        description="Alertmanager that is told of incidents, http(s)://[user:password@]host:port; empty: none.",
    )
    webhook_url: str = Field(
        "",
        repr=False,  # passwords, and paths that are as good as one
        description="Address that each change of an incident is posted to as JSON, http(s)://…; empty: none.",
    )
    webhook_secret: str = Field(
        "",
        repr=False,
        description="Secret that signs what is posted to `webhook_url` (HMAC-SHA256); empty: no signature.",
    )
    notify_repeat_s: float = Field(
        30.0,
        gt=0,
        le=120,
        description="Seconds until an incident whose status and severity stay is told again: what else changed of it, "
        "and to Alertmanager, which forgets, that it is still there.",
    )
    notify_timeout_s: float = Field(
        10.0, ge=0.1, le=60, description="Seconds that Alertmanager, the webhook or Kafka may take over one message."
    )
    pages_url: str = Field(
        "", description="Address of the pages that messages about incidents link to; empty: no links."
    )
    serve_host: str = Field(
        "127.0.0.1", description="Address at which the pages and the API are served; any but loopback asks for tokens."
    )
    serve_port: int = Field(8000, ge=0, le=65535, description="Port of the pages and the API; 0 takes a free one.")
    serve_tokens: bool = Field(
        False, description="Whether tokens are needed on loopback too; elsewhere they always are."
    )
    serve_tls_cert: Path | None = Field(None, description="PEM file of the server's certificate; empty: plain HTTP.")
    serve_tls_key: Path | None = Field(None, description="PEM file of the key of that certificate.")
    serve_rate: float = Field(
        50.0,
        gt=0,
        le=1_000_000,
        description="Requests a second from one address beyond which more are refused; loopback is not counted.",
    )
    serve_max_bytes: int = Field(64 << 20, ge=1024, description="Bytes; a longer request is refused.")
    metrics_host: str = Field(
        "127.0.0.1", description="Address at which a stream worker serves its Prometheus metrics."
    )
    metrics_port: int = Field(
        9464,
        ge=0,
        le=65535,
        description="Port at which a stream worker serves its Prometheus metrics; 0 takes a free one.",
    )
    namenode_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,  # passwords
        description="NameNodes to watch, http(s)://[user:password@]host:port, with commas between; empty: none.",
    )
    namenode_poll_s: float = Field(5.0, gt=0, le=86_400, description="Seconds between two polls of a NameNode.")
    namenode_timeout_s: float = Field(
        4.0, gt=0, le=86_400, description="Seconds that one poll of a NameNode may take in all."
    )
    namenode_max_bytes: int = Field(10 << 20, ge=1024, description="Bytes; a longer answer of a NameNode is refused.")
    namenode_ca: Path | None = Field(None, description="PEM file of the authority behind the NameNodes' certificates.")
    namenode_kerberos: bool = Field(
        False, description="Whether NameNodes are asked with the user's Kerberos ticket (SPNEGO)."
    )
    namenode_raw_days: float = Field(
        1.0, ge=0, le=3_650, description="Days to keep each /jmx document as it came; 0 keeps none."
    )
    namenode_first_polls: int = Field(
        720, ge=31, description="Polls of a NameNode after which its first model is trained; 720 are an hour."
    )
    namenode_state_days: float = Field(
        30.0,
        gt=0,
        le=3_650,
        description="Days to keep what each poll said of the state of HDFS and of its DataNodes; anomalies stay.",
    )
    namenode_stale_s: float = Field(
        30.0, gt=0, description="Seconds without a heartbeat after which a DataNode is stale, as in Hadoop."
    )
    namenode_under_replicated: float = Field(
        1.0, gt=0, description="Under-replicated blocks beyond the usual number of the last day that are an incident."
    )
    namenode_full_percent: float = Field(
        90.0, gt=0, le=100, description="Percent from which HDFS, a DataNode or a volume counts as full."
    )
    namenode_full_days: float = Field(
        7.0, ge=0, description="Days until HDFS is full, at the pace of the last week, from which that is an incident."
    )
    namenode_checkpoint_hours: float = Field(
        3.0, gt=0, description="Hours after which the last checkpoint of a NameNode is too old."
    )
    namenode_checkpoint_transactions: float = Field(
        3_000_000.0, gt=0, description="Transactions since the last checkpoint of a NameNode that are too many."
    )
    namenode_decommission_hours: float = Field(
        4.0, gt=0, description="Hours without progress after which the decommissioning of a DataNode is stuck."
    )
    datanode_poll_s: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="Seconds between two polls of the DataNodes' own /jmx, which the NameNode names; 0 polls none.",
    )
    datanode_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,  # passwords
        description="DataNodes to poll, http(s)://[user:password@]host:port, with commas between; empty: those that "
        "the active NameNode lists.",
    )
    datanode_parallel: int = Field(8, ge=1, le=256, description="DataNodes that are polled at the same time, at most.")
    datanode_slow_ratio: float = Field(
        4.0, gt=1, description="Times the median of its peers from which a DataNode is slow."
    )
    datanode_xceivers: float = Field(
        3_600.0, gt=0, description="Threads that read and write blocks of a DataNode that are too many."
    )
    namenode_sequence_length: int = Field(30, ge=2, description="Steps in a window of the LSTM autoencoder.")
    namenode_latent_dim: int = Field(
        10, ge=1, description="Numbers into which the LSTM autoencoder compresses a window."
    )
    namenode_epochs: int = Field(
        50,
        ge=1,
        description="Most epochs of one training of the LSTM autoencoder; it ends early where more do not help.",
    )
    namenode_batch_size: int = Field(32, ge=1, description="Windows in one training step of the LSTM autoencoder.")
    namenode_validation_split: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of the windows, the latest, that decides when the training of the LSTM autoencoder ends.",
    )
    namenode_percentile: float = Field(
        95.0,
        gt=0,
        lt=100,
        description="Percentile of a NameNode detector's baseline scores that its threshold is a multiple of.",
    )
    namenode_margin: float = Field(
        2.0, ge=1, description="Multiple of `namenode_percentile` that becomes the threshold of a NameNode detector."
    )
    namenode_least_s: float = Field(
        20.0, gt=0, description="Seconds that scores must be over a threshold before they are a NameNode incident."
    )
    namenode_gap_s: float = Field(
        15.0,
        ge=0,
        description="Seconds for which scores may fall below the threshold without ending a NameNode incident.",
    )
    namenode_queue_limit_ms: float = Field(10.0, gt=0, description="Static rule: mean RPC queue time in ms.")
    namenode_processing_limit_ms: float = Field(20.0, gt=0, description="Static rule: mean RPC processing time in ms.")
    namenode_sleep_limit_ms: float = Field(
        100.0, gt=0, description="Static rule: ms per second that the process slept."
    )
    namenode_baseline_hours: float = Field(
        24.0,
        gt=0,
        le=87_600,
        description="Hours before now on which NameNode detectors are trained unless a window is given.",
    )
    namenode_retrain_cron: str = Field(
        "0 2 * * *", description="When the NameNode models are trained anew (cron, UTC)."
    )
    request_kmeans_quantile: float = Field(
        0.9999, gt=0, lt=1, description="Quantile of the training distances above which k-means flags a request."
    )
    request_misses: int = Field(
        16, ge=2, description="Answers 4xx to one client in a minute from which it scans; rounded down to a power of 2."
    )
    request_slow_s: float = Field(30.0, gt=0, description="Seconds from which the answer to a request is very slow.")
    request_gap_s: float = Field(
        120.0, gt=0, description="Seconds without an anomalous request of its kind after which an incident has ended."
    )
    requests_days: float = Field(30.0, gt=0, le=3_650, description="Days to keep single requests; anomalies stay.")
    dagster_host: str = Field("127.0.0.1", description="Address that Dagster's web page listens on; it has no login.")
    dagster_port: int = Field(3000, ge=1, le=65535, description="Port of Dagster's web page.")
    dagster_url: str = Field("", description="Where workers report to; empty: `dagster_host` and `dagster_port`.")
    web_first_requests: int = Field(
        10_000, ge=100, description="Requests from which the first model of requests is trained by itself."
    )
    web_format: str = Field(
        "auto",
        description="How access lines are written: a LogFormat of Apache or a log_format of nginx; auto knows the "
        "usual ones.",
    )
    app_format: str = Field(
        "",
        description="Layout of application logs' plain lines, as log4j and logback write it; empty: the known ones.",
    )
    app_first_messages: int = Field(
        1000,
        ge=100,
        description="Messages from which templates are learned, and the fewest that a model of messages learns from.",
    )
    app_last_messages: int = Field(
        200_000, ge=1000, description="Latest messages that a model of messages learns from."
    )
    app_contamination: float = Field(
        0.1, gt=0, lt=1, description="Share of the training messages that the model of messages flags."
    )
    app_logs_days: float = Field(30.0, gt=0, le=3660, description="Days to keep application logs.")
    web_lateness_s: float = Field(
        60.0, ge=0, le=3600, description="Seconds for which a minute of web traffic waits for requests that come late."
    )
    web_error_share: float = Field(
        0.1, gt=0, le=1, description="Share of failed requests (status 500 and above) in a minute that is too high."
    )
    web_slow_times: float = Field(
        2.5, gt=1, description="Times the usual response time at which half of a minute's answers are slow."
    )
    web_erratic_times: float = Field(
        8.0, gt=1, description="Times the usual response time that a twentieth of erratic answers take."
    )
    web_drop_share: float = Field(
        0.3, gt=0, lt=1, description="Share of the usual requests in a minute at which traffic has dropped."
    )
    web_spike_times: float = Field(2.0, gt=1, description="Times the usual requests in a minute that are a spike.")
    web_least_requests: int = Field(
        15, ge=1, description="Requests in two minutes below which nothing is said of a group of endpoints."
    )
    web_least_minutes: int = Field(
        15, ge=2, le=60, description="Minutes of a group that must be known before anything is compared with them."
    )
    seasonal_deviations: float = Field(
        7.5, gt=0, description="Standard deviations from what is usual at an hour of the week that are an anomaly."
    )
    request_windows_days: float = Field(
        400.0, gt=0, le=36_500, description="Days to keep the minutes of web traffic, which outlive the requests."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where values come from, the strongest first."""
        home = init_settings().get("home") or env_settings().get("home") or cls.model_fields["home"].default
        secrets = SecretsSettingsSource(settings_cls, os.environ.get(SECRETS))
        return init_settings, env_settings, secrets, TomlConfigSettingsSource(settings_cls, settings_file(Path(home)))

    @field_validator("namenode_urls", "datanode_urls", mode="before")
    @classmethod
    def _separated(cls, value: object) -> object:
        return tuple(each.strip() for each in value.split(",") if each.strip()) if isinstance(value, str) else value

    @field_validator("alertmanager_url", "webhook_url", "pages_url")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            good = not value or (parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
        except ValueError:  # of a port that is none
            good = False
        if not good:
            raise ValueError("no address of a web server; write it like http://host:9093 or https://host/path")
        return value

    @field_validator("log_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError(f"no time zone {value!r}; write it like Europe/Berlin or UTC") from None
        return value

    @field_validator("namenode_retrain_cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        fields = value.split()
        if len(fields) != len(_CRON) or not all(map(_is_cron_field, fields, _CRON)):
            raise ValueError(f"{value!r} is no cron expression; write minute hour day month weekday, as in 0 2 * * *")
        return value

    @property
    def secrets(self) -> tuple[str, ...]:
        """Passwords and the like that the settings hold, to be left out of what people are shown."""
        urls = (*self.namenode_urls, *self.datanode_urls, self.alertmanager_url, self.webhook_url)
        logins = [url.rpartition("@")[0].rpartition("://")[2] for url in urls]
        passwords = [login.partition(":")[2] for login in logins]
        of_kafka = [value for name, value in self.kafka.items() if is_secret(name)]
        return tuple(secret for secret in (*passwords, *of_kafka, self.webhook_secret) if secret)

    def topic(self, name: str) -> str:
        """The name that a topic of ours has on the brokers."""
        return f"{self.kafka_topic_prefix}{name}"

    @property
    def store_path(self) -> Path:
        """The DuckDB file."""
        return self.home / "hdfs.duckdb"

    @property
    def models(self) -> Path:
        """Folder of saved models: ``models/<domain>/<detector>/<version>/``."""
        return self.home / "models"

    @property
    def catalogues(self) -> Path:
        """Folder of catalogues learned in this home, beside the shipped ones."""
        return self.home / "catalogues"

    @property
    def app_catalogues(self) -> Path:
        """Folder of the templates that application logs of this home were found to have."""
        return self.home / "app_catalogues"

    @property
    def broker(self) -> Path:
        """Folder of the embedded Kafka broker: its address while it runs."""
        return self.home / "broker"

    @property
    def incoming(self) -> Path:
        """Folder whose files the sensor `incoming_files` reads, a folder in it per domain."""
        return self.home / "incoming"

    @property
    def dagster_address(self) -> str:
        """Where Dagster's web page answers, http(s)://host:port."""
        return (self.dagster_url or f"http://{self.dagster_host}:{self.dagster_port}").rstrip("/")

    @property
    def tracking_uri(self) -> str:
        """MLflow's SQLite backend."""
        return f"sqlite:///{self.home.resolve()}/mlflow.db".replace("%", "%25")


def settings_file(home: Path) -> Path:
    """The settings of a home, in TOML."""
    return home / "settings.toml"


def _is_cron_field(field: str, bounds: tuple[int, int]) -> bool:
    low, high = bounds
    parts = [re.fullmatch(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/([1-9]\d?))?", part) for part in field.split(",")]
    return all(
        part is not None and all(low <= int(number) <= high for number in part.groups()[:2] if number) for part in parts
    )


def _warn_of_readers(settings: Settings) -> None:
    file = settings_file(settings.home)
    if settings.secrets and file.is_file() and file.stat().st_mode & stat.S_IROTH:
        text = file.read_text()
        if any(secret in text for secret in settings.secrets):
            _log.warning("%s holds passwords, and everybody on this machine can read it: chmod 600 %s", file, file)


def _near(name: str) -> str:
    """Which setting may be meant by a name that is none."""
    near = get_close_matches(name.lower(), Settings.model_fields, n=1)
    return near[0] if near else ""


def _warn_of_strangers(environment: frozenset[tuple[str, str]]) -> None:
    """Warn of variables and files of secrets that are no settings: not an error, they may be of another release."""
    known = {name.upper() for name in Settings.model_fields} | _OTHERS
    variables = sorted(name for name, _ in environment if name != BOOTSTRAP)
    for name in (each for each in variables if each.removeprefix(PREFIX).upper() not in known):
        near = _near(name.removeprefix(PREFIX))
        _log.warning("%s is no setting%s", name, f"; did you mean {PREFIX}{near.upper()}?" if near else "")
    folder = os.environ.get(SECRETS)
    for file in sorted(Path(folder).glob(f"{PREFIX.lower()}*")) if folder else ():
        name = file.name.removeprefix(PREFIX.lower())
        if name.upper() not in known:
            near = _near(name)
            _log.warning("%s is no setting%s", file, f"; did you mean {PREFIX.lower()}{near}?" if near else "")


@cache
def _load(home: Path | None, environment: frozenset[tuple[str, str]]) -> Settings:
    try:
        values: dict[str, Any] = {} if home is None else {"home": home}
        settings = Settings(**values)
        if settings_file(settings.home).is_dir():
            raise IsADirectoryError(f"{settings_file(settings.home)} is a folder")
        _warn_of_readers(settings)
        _warn_of_strangers(environment)
        return settings
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        why = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            near = _near(name)
            why = "there is no such setting" + (f" (did you mean {near}?)" if near else "")
        raise SetupError(f"setting {name}: {why}; see `hdfs-pipeline settings` for what there is") from None
    except SettingsError as error:  # it says where, and does not repeat the value, which may be a password
        raise SetupError(f"setting: {error}; it takes JSON there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SetupError(f"settings.toml of the home cannot be read: {error}. Mend it, or move it away.") from None


def origins(settings: Settings) -> dict[str, str]:
    """Where each setting of a home came from: a variable of the environment, a file, `default`, or `given`.

    `given` are those that differ from what the others say now: the home, and what a command was told.
    """
    layers: list[tuple[str, PydanticBaseSettingsSource]] = [
        ("environment", EnvSettingsSource(Settings)),
        (f"file in {SECRETS}", SecretsSettingsSource(Settings, os.environ.get(SECRETS))),
        (str(settings_file(settings.home)), TomlConfigSettingsSource(Settings, settings_file(settings.home))),
    ]
    found = {}
    for name in reversed([*Settings.model_fields]):
        value = getattr(settings, name)
        found[name] = (
            "default" if value == Settings.model_fields[name].get_default(call_default_factory=True) else "given"
        )
    for label, source in reversed(layers):
        found |= {name: label if label != "environment" else f"{PREFIX}{name.upper()}" for name in source()}
    if found["kafka_bootstrap_servers"] == "default" and os.environ.get(BOOTSTRAP):
        found["kafka_bootstrap_servers"] = BOOTSTRAP
    if Path(os.environ.get(f"{PREFIX}HOME") or settings.home).absolute() != settings.home.absolute():
        found["home"] = "given"
    return found


def load_settings(home: Path | str | None = None) -> Settings:
    """Settings of `home`, or of the one that the environment names.

    Raises: SetupError naming the setting that cannot be used.
    """
    folder = os.environ.get(SECRETS)
    if folder and not Path(folder).is_dir():
        raise SetupError(f"{SECRETS}: {folder} is no folder; it holds a file per setting, such as hdfs_pipeline_kafka")
    seen = frozenset(pair for pair in os.environ.items() if pair[0].startswith(PREFIX) or pair[0] == BOOTSTRAP)
    return _load(Path(home) if home is not None else None, seen)

"""Settings of the service: environment variables `ECHOCAST_*`, with defaults that run on one machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from model.core.folders import default_data_dir
from model.core.settings import ENVIRONMENT, EngineSettings, read_environment
from model.core.units import DEFAULT_MAX_DBZ, MAX_VALID_DBZ
from service.addresses import is_protected

MIN_SECRET: Final = 32
"""Fewest characters of the secret of webhooks."""


class Settings(EngineSettings, BaseSettings):
    """The settings of the service and of the engine."""

    model_config = ENVIRONMENT

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Folder of the ledger, results, packages and the private Redis of the embedded default.",
    )
    host: str = Field("127.0.0.1", description="Address that the gateway listens on.")
    access: Literal["auto", "keys", "open"] = Field(
        "auto",
        description="Who may use the gateway: keys, clients with an API key, or with a token of oidc_issuer; open, "
        "everybody, for where a reverse proxy authenticates; auto, as keys, but open on a loopback address as long as "
        "no key was created and no oidc_issuer is set.",
    )
    oidc_issuer: str | None = Field(
        None,
        description="OpenID Connect issuer whose access tokens the gateway accepts beside API keys, as in their claim "
        "iss; https, or http on a loopback address. Not set: none.",
    )
    oidc_audience: str | None = Field(
        None, description="The service's name at the issuer: tokens without it in their claim aud are refused."
    )
    oidc_scope_claim: str = Field(
        "scope",
        min_length=1,
        description="Claim of a token that has its scopes, as echocast:read echocast:nowcast: a text or a list.",
    )
    oidc_limits_claim: str | None = Field(
        None,
        description="Claim of a token that has limits of its client, an object with any of max_queued_jobs, "
        "max_running_jobs, requests_per_second and bytes_per_day. Not set, or without the claim: the limits below.",
    )
    allowed_hosts: str | None = Field(
        None,
        description="Names under which clients reach the gateway, separated by commas, beside localhost, the address "
        "that it listens on, and IP addresses; *.example.org is every name directly below example.org.",
    )
    cors_origins: str | None = Field(
        None,
        description="Origins of other web pages that may use the gateway, separated by commas, such as "
        "https://map.example.org. Not set: none.",
    )
    base_map_url: str | None = Field(
        None,
        description="Map tiles to show below the rain in place of the built-in base map, such as "
        "https://tiles.example.org/{z}/{x}/{y}.png: browsers load them from that host, which learns what is looked at. "
        "Not set: nothing is loaded from another host.",
    )
    base_map_attribution: str | None = Field(None, description="Whom the map names for the tiles of base_map_url.")
    embed_origins: str | None = Field(
        None,
        description="Origins of other web pages that may show the widget (/embed) in a frame, separated by commas, "
        "such as https://www.example.org. Not set: none.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port that the gateway listens on; 0 chooses a free one.")
    broker_url: str | None = Field(
        None, description="Redis URL of the queue. Not set: `echocast serve` runs a Redis, worker and beat."
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the ledger (PostgreSQL). Not set: SQLite in the data folder."
    )
    store_url: str | None = Field(
        None,
        description="Object store of inputs and results: s3://, gs://, az:// or file://. Not set: a folder "
        "in the data folder. Credentials come from the cloud's usual environment variables.",
    )
    packages: Path | None = Field(
        None, description="Extra folder of model packages, beside the shipped ones. Not set: packages in data_dir."
    )
    fields: Path | None = Field(None, description="Folder of exogenous fields, NAME.nc, for networks that read them.")
    feeds_file: Path | None = Field(
        None, description="TOML file of feeds: live radars. Not set: feeds.toml in the data folder."
    )
    max_upload_mb: int = Field(512, ge=1, description="Largest request body of one nowcast, in MB (10^6 bytes).")
    max_files: int = Field(256, ge=1, description="Maximum number of files in one request.")
    max_pixels: int = Field(
        400_000_000,
        ge=1,
        description="Maximum number of pixels (frames x rows x columns) of the frames read for one nowcast.",
    )
    read_memory_mb: int = Field(
        4096,
        ge=64,
        description="Most memory that reading the files of one nowcast may take, in MB (2^20 bytes).",
    )
    read_seconds: int = Field(
        60, ge=1, description="Most processor time that reading the files of one nowcast may take, in seconds."
    )
    max_member_pixels: int = Field(
        400_000_000,
        ge=1,
        description="Maximum number of pixels (members x lead steps x rows x columns) of the members of one nowcast.",
    )
    max_dbz: float = Field(
        DEFAULT_MAX_DBZ,
        gt=0,
        le=MAX_VALID_DBZ,
        description="Reflectivity above this value is hail, and counts as this many dBZ; 95 caps nothing.",
    )
    batch: int = Field(
        0,
        ge=0,
        le=64,
        description="Maximum number of nowcasts that a worker runs as one batch; 0 means 8 on a GPU and 1 on a CPU.",
    )
    batch_wait_ms: int = Field(
        20,
        ge=0,
        le=1000,
        description="How long a worker waits for more nowcasts to complete a batch; it reads files meanwhile.",
    )
    lease_seconds: float = Field(
        20.0, gt=0, description="A running job whose worker has not renewed its lease for this long is run again."
    )
    reconcile_seconds: float = Field(
        10.0,
        gt=0,
        description="How often the reconciler looks for jobs that the queue has lost, and queues them again.",
    )
    requeue_seconds: float = Field(
        60.0,
        gt=0,
        description="An accepted job that was not started this long after it was queued is queued again; so is a job "
        "this long after it failed in the service.",
    )
    feed_scan_seconds: float = Field(60.0, gt=0, description="How often the sources of the feeds are scanned.")
    feed_settle_seconds: float = Field(
        2.0, ge=0, description="A frame whose file changed within this time counts as still being written, and waits."
    )
    alert_check_seconds: float = Field(
        30.0,
        gt=0,
        description="How often rules of alerts are judged that no nowcast judges, such as those on feeds.",
    )
    max_attempts: int = Field(
        3, ge=1, description="How many attempts a job has whose worker dies, or that fails in the service."
    )
    job_time_limit_seconds: float = Field(
        1800.0, gt=0, description="A nowcast that runs longer than this is stopped, and fails as time-limit."
    )
    queue_time_limit_seconds: float = Field(
        3600.0,
        ge=0,
        description="An upload that waits longer than this for a worker fails as queue-deadline; 0 sets no limit.",
    )
    max_connections: int = Field(
        500,
        ge=0,
        description="Maximum number of open connections of the gateway; more are answered with 503. 0 sets no limit.",
    )
    request_timeout_seconds: float = Field(
        20.0,
        gt=0,
        description="Time within which the head of a request arrives, its body begins, and a client reads a response.",
    )
    max_queued_jobs: int = Field(
        1000, ge=0, description="Maximum number of uploads that wait for a worker; more are refused. 0 sets no limit."
    )
    max_client_queued_jobs: int = Field(
        200,
        ge=0,
        description="Maximum number of waiting uploads of one client, unless its key or token says otherwise; 0: any.",
    )
    max_client_running_jobs: int = Field(
        0,
        ge=0,
        description="Maximum number of running uploads of one client, unless its key or token says otherwise; 0: any.",
    )
    max_client_requests_per_second: float = Field(
        100.0,
        ge=0,
        description="Requests a second of one client, unless its key or token says otherwise; after a pause twice as "
        "many at once. Without keys a client is an address. 0 sets no limit.",
    )
    max_client_mb_per_day: int = Field(
        0, ge=0, description="Most bytes of uploads of one client within a day, in MB (10^6 bytes); 0 sets no limit."
    )
    max_store_mb: int = Field(
        0, ge=0, description="Most room for uploads and results in the store, in MB (10^6 bytes); 0 sets no limit."
    )
    min_free_mb: int | None = Field(
        None,
        ge=0,
        description="Free space below which no upload is accepted and the service is not ready, on the disk of the "
        "store and of temporary files, in MB (10^6 bytes). Not set: twice `max_upload_mb`, an upload and its result.",
    )
    retention_days: float = Field(
        30.0, ge=0, description="Finished nowcasts are deleted after this many days; 0 keeps them for ever."
    )
    view_cache_mb: int = Field(
        64,
        ge=0,
        description="Most memory of the gateway for pictures, animations and lists of frames that it has computed, in "
        "MB (2^20 bytes).",
    )
    place_cache_mb: int = Field(
        256,
        ge=0,
        description="Most memory of the gateway for parts of results that were read for places and areas, in MB (2^20 "
        "bytes): 12 lead steps of 640 x 710 pixels with five probabilities take 37.",
    )
    tile_cache_mb: int = Field(
        64,
        ge=0,
        description="Most memory of the gateway for frames that it has drawn on the map, in MB (2^20 bytes): one of "
        "765 x 700 pixels takes 0.7, one of 3500 x 7000 zoomed out 2, and close up what is on the map.",
    )
    result_copies_mb: int = Field(
        2048,
        ge=0,
        description="Most disk in the temporary folder for the gateway's copies of results from a bucket, in MB (2^20 "
        "bytes); copies in use come on top. A local store needs none.",
    )
    worker_max_memory_mb: int = Field(
        8192,
        ge=0,
        description="A worker's process that has taken more memory than this, in MB (2^20 bytes), is replaced after "
        "its job; 0 replaces none.",
    )
    worker_stale_seconds: float = Field(
        15.0, gt=0, description="A worker without a heartbeat for this long counts as gone (readyz)."
    )

    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which `echocast worker` serves its metrics, to all that can reach it. Not set: none.",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address that `echocast worker` listens on for metrics, if metrics_port is set."
    )
    max_event_streams: int = Field(
        200,
        ge=0,
        description="Most event streams that a gateway holds open, a quarter of them for one client.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="Secret, of at least 32 characters, with which webhooks are signed; needed where webhook_hosts or "
        "webhook_private_hosts is set.",
    )
    webhook_hosts: str | None = Field(
        None,
        description="Hosts that clients may have called when a nowcast has ended, by https, separated by commas; "
        "*.example.org is every name directly below example.org, :PORT permits that port in place of 443. Not set: no "
        "webhooks.",
    )
    webhook_private_hosts: str | None = Field(
        None,
        description="Hosts of the own network that may be called as well: by http too, and at private and loopback "
        "addresses. As in webhook_hosts, but whole names.",
    )
    webhook_attempts: int = Field(
        12, ge=1, description="How many times a webhook, or a message of an alert, is tried before it is given up."
    )
    push_vapid_key: Path | None = Field(
        None,
        description="File with the private key (PEM, curve P-256) by which push services of browsers know this service "
        "(VAPID). Not set: no web push.",
    )
    push_contact: str | None = Field(
        None,
        description="Where push services reach the operator, mailto:NAME@HOST or https://...; needed where "
        "push_vapid_key is set.",
    )
    push_hosts: str = Field(
        "fcm.googleapis.com,updates.push.services.mozilla.com,*.push.apple.com,*.notify.windows.com",
        description="Hosts of push services that are called, as in webhook_hosts.",
    )
    push_private_hosts: str | None = Field(
        None, description="Push services of the own network, as in webhook_private_hosts."
    )
    push_retention_days: float = Field(
        60.0, gt=0, description="A push subscription is deleted this long after its page was last opened."
    )
    max_push_subscriptions: int = Field(10_000, ge=0, description="Most push subscriptions of places in all.")
    max_client_push_subscriptions: int = Field(
        20, ge=0, description="Most push subscriptions of places of one client, which without keys is an address."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that every process logs on stderr."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Format of the log: lines for people, or one JSON object per line."
    )
    access_log: bool = Field(False, description="Whether the gateway logs a line for each request.")

    @field_validator("cors_origins", "embed_origins")
    @classmethod
    def _origins_are_whole(cls, origins: str | None) -> str | None:
        """Refuse `*`, paths and names without a scheme: an origin is what browsers send as `Origin`."""
        for origin in _items(origins):
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?", origin):
                raise ValueError(f"{origin} is not an origin, such as https://map.example.org")
        return origins

    @field_validator("base_map_url")
    @classmethod
    def _base_map_is_one_host(cls, url: str | None) -> str | None:
        """Refuse an address that is no template of tiles, and one whose host is not one: the page may use no other."""
        if url is not None and not (
            re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?/[^\s;,'\"]*", url)
            and all(part in url for part in ("{z}", "{x}", "{y}"))
        ):
            raise ValueError("it is no address of map tiles, such as https://tiles.example.org/{z}/{x}/{y}.png")
        return url

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer_is_protected(cls, issuer: str | None) -> str | None:
        """Refuse an issuer whose keys somebody could change on their way."""
        if issuer is not None and (not is_protected(issuer) or re.search(r"[?#@\s]", issuer)):
            raise ValueError("it is no issuer, such as https://login.example.org/realms/weather")
        return issuer

    @field_validator("webhook_hosts", "webhook_private_hosts", "push_hosts", "push_private_hosts")
    @classmethod
    def _hosts_are_hosts(cls, hosts: str | None, info: ValidationInfo) -> str | None:
        """Refuse what is no host."""
        star = "" if str(info.field_name).endswith("private_hosts") else r"(\*\.)?"
        for host in _items(hosts):
            if not re.fullmatch(rf"({star}[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[1-9]\d{{0,4}})?", host):
                raise ValueError(f"{host} is not a host, such as hooks.example.org or hooks.example.org:8443")
        return hosts

    @field_validator("push_contact")
    @classmethod
    def _contact_is_an_address(cls, contact: str | None) -> str | None:
        """Refuse what push services refuse (RFC 8292)."""
        if contact is not None and not re.fullmatch(r"mailto:[^@\s]+@[^@\s]+|https://\S+", contact):
            raise ValueError("it is neither mailto:NAME@HOST nor https://...")
        return contact

    @field_validator("webhook_hosts", "webhook_private_hosts")
    @classmethod
    def _hosts_are_signed_for(cls, hosts: str | None, info: ValidationInfo) -> str | None:
        """Refuse hosts without a secret."""
        secret: SecretStr | None = info.data.get("webhook_secret")
        if _items(hosts) and (secret is None or len(secret.get_secret_value()) < MIN_SECRET):
            raise ValueError(f"webhooks need ECHOCAST_WEBHOOK_SECRET, of at least {MIN_SECRET} characters")
        return hosts

    @property
    def webhook_host_list(self) -> list[str]:
        """The hosts of `webhook_hosts`, in lower case."""
        return [host.lower() for host in _items(self.webhook_hosts)]

    @property
    def private_webhook_host_list(self) -> list[str]:
        """The hosts of `webhook_private_hosts`, in lower case."""
        return [host.lower() for host in _items(self.webhook_private_hosts)]

    @property
    def webhooks(self) -> bool:
        """Whether nowcasts may have webhooks."""
        return bool(self.webhook_host_list or self.private_webhook_host_list)

    @property
    def push_host_list(self) -> list[str]:
        """The hosts of `push_hosts`, in lower case."""
        return [host.lower() for host in _items(self.push_hosts)]

    @property
    def private_push_host_list(self) -> list[str]:
        """The hosts of `push_private_hosts`, in lower case."""
        return [host.lower() for host in _items(self.push_private_hosts)]

    @property
    def host_names(self) -> list[str]:
        """The names of `allowed_hosts`, in lower case."""
        return [name.lower() for name in _items(self.allowed_hosts)]

    @property
    def origins(self) -> list[str]:
        """The origins of `cors_origins`."""
        return _items(self.cors_origins)

    @property
    def base_map_host(self) -> str | None:
        """Scheme and host of `base_map_url`, as a Content-Security-Policy names them."""
        return None if self.base_map_url is None else "/".join(self.base_map_url.split("/")[:3])

    @property
    def embedding_origins(self) -> list[str]:
        """The origins of `embed_origins`."""
        return _items(self.embed_origins)

    @property
    def embedded(self) -> bool:
        """Whether `echocast serve` runs its own broker, as none is set."""
        return self.broker_url is None

    @property
    def room_mb(self) -> int:
        """Free space (MB, 10^6 bytes) that a disk must have: for an upload as large as allowed, and its result."""
        return 2 * self.max_upload_mb if self.min_free_mb is None else self.min_free_mb

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the ledger."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir.absolute() / 'ledger.sqlite'}"
        scheme, separator, rest = self.database_url.partition("://")
        return (
            f"postgresql+psycopg://{rest}" if separator and scheme in ("postgres", "postgresql") else self.database_url
        )

    @property
    def store(self) -> str:
        """URL of the object store."""
        return self.store_url if self.store_url is not None else (self.data_dir.absolute() / "store").as_uri()

    @property
    def packages_folder(self) -> Path:
        """Folder of model packages beside the shipped ones."""
        return self.packages if self.packages is not None else self.data_dir / "packages"

    @property
    def feeds_path(self) -> Path:
        """The TOML file of feeds, which need not exist."""
        return self.feeds_file if self.feeds_file is not None else self.data_dir / "feeds.toml"


def _items(text: str | None) -> list[str]:
    """Return the items of a list that is separated by commas."""
    return [item.strip() for item in (text or "").split(",") if item.strip()]


def load_settings(**overrides: object) -> Settings:
    """Return the settings of the environment; `overrides` that are not None come first.

    Raises
    ------
    BadSetting
        A value cannot be used; the error names the variable.
    """
    return read_environment(Settings, **overrides)

"""The settings in force: each with its value, without secrets, what it means, and where it came from."""

from typing import Any

from hdfs_pipeline.settings import Settings, origins
from hdfs_pipeline.shown import HIDDEN, place_of, without_secrets
from hdfs_pipeline.sources.kafka import masked


def shown_settings(settings: Settings) -> Settings:
    """The settings with their secrets hidden: passwords in addresses, what signs messages, secrets of `kafka`."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(plain, value))
        return without_secrets(value, settings.secrets) if isinstance(value, str) and "@" in value else value

    hidden = {name: plain(getattr(settings, name)) for name in Settings.model_fields} | {
        "kafka": masked(settings.kafka),
        "webhook_url": f"{place_of(settings.webhook_url)}/{HIDDEN}" if settings.webhook_url else "",
        "webhook_secret": HIDDEN if settings.webhook_secret else "",
    }
    return settings.model_copy(update=hidden)


def settings_in_force(settings: Settings) -> list[dict[str, Any]]:
    """Each setting by name: value (of JSON), default, meaning, and its origin, as `settings.origins` names it."""
    shown, came_from = shown_settings(settings).model_dump(mode="json"), origins(settings)
    return [
        {"name": name, "value": shown[name], "about": field.description or "", "origin": came_from[name]}
        for name, field in Settings.model_fields.items()
    ]

"""Kedro's project settings: https://docs.kedro.org/en/stable/kedro_project_setup/settings.html"""

from collections.abc import Iterator
from typing import Any

from omegaconf.resolvers import oc

from counterpoise.config.loader import ConfigLoader


class _Hooks:
    """The hooks, imported by the session that registers them: `kedro registry list` has none, and needs no torch."""

    def __iter__(self) -> Iterator[Any]:
        from counterpoise.hooks.session import HOOKS

        return iter(HOOKS)


HOOKS = _Hooks()

# Names the file and the line of what is wrong in it; gives every environment a place of its own.
CONFIG_LOADER_CLASS = ConfigLoader

# `soft` merges nested blocks, so that an environment overrides one key and keeps the rest.
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
    "config_patterns": {"mlflow": ["mlflow*"]},
    "custom_resolvers": {"oc.env": oc.env},  # variables of the environment in every file, and not in credentials alone
}

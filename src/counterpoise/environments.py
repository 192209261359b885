"""How conf/ is read: as Kedro does, with one addition, that every environment's results have a place of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf


class ConfigLoader(OmegaConfigLoader):
    """Kedro's loader, in which `${environment:}` stands for `/<environment>`, and for nothing in base and local.

    conf/base/globals.yml says `root: data${environment:}`; an environment that sets `root` itself has it there.
    """

    def __init__(
        self,
        conf_source: str | Path,
        env: str | None = None,
        runtime_params: dict[str, Any] | None = None,
        *,
        base_env: str = "base",
        default_run_env: str = "local",
        **options: Any,
    ) -> None:
        folder = "" if env in {None, "", base_env, default_run_env} else f"/{env}"
        OmegaConf.register_new_resolver("environment", lambda: folder, replace=True)
        super().__init__(
            conf_source, env, runtime_params, base_env=base_env, default_run_env=default_run_env, **options
        )

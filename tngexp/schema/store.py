"""What Hydra has to know before a configuration is composed: the schema and the resolvers."""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore

from tngexp.common.configuration import register_resolvers
from tngexp.schema.measuring import CompareConf, EvaluateConf, StudyConf
from tngexp.schema.run import TrainConf
from tngexp.schema.trainer import TrainerConf

__all__ = ["SCHEMA", "register_config"]

_CONFS = (TrainConf, TrainerConf, EvaluateConf, CompareConf, StudyConf)
SCHEMA: dict[str, type[Any]] = {conf.__name__: conf for conf in _CONFS}
"""The structured configs by the names that Hydra's messages call them."""


def register_config() -> None:
    """Register structured configs and ``${…}`` functions for the YAML files. Safe to call twice."""
    register_resolvers()
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConf, provider="tngexp")
    store.store(name="evaluate_schema", node=EvaluateConf, provider="tngexp")
    store.store(name="compare_schema", node=CompareConf, provider="tngexp")
    store.store(name="study_schema", node=StudyConf, provider="tngexp")
    store.store(group="trainer", name="schema", node=TrainerConf, provider="tngexp")

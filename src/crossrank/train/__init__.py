"""From a team's own data to a checkpoint: one TOML config, one path.

`config -> sources -> plan -> examples (negatives, teachers) -> dataset -> trainer -> checkpoint and card`

`read_config` and `train` are what callers need. torch is known in `losses`, `trainer` and where models are opened; the
data side knows numbers and texts only. Nothing here knows a terminal.
"""

from crossrank.train.config import TrainConfig, read_config
from crossrank.train.dry import dry_run
from crossrank.train.run import train

__all__ = ["TrainConfig", "dry_run", "read_config", "train"]

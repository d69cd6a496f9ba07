"""crossrank's ranker, in the namespace from which Haystack loads pipelines' YAML."""

from crossrank.integrations.haystack import CrossEncoderRanker

__all__ = ["CrossEncoderRanker"]

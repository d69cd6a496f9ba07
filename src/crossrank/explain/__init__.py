"""Which parts of a document make its score: by leaving each out and by giving each alone, for whatever scores pairs."""

from crossrank.explain.explain import Explanation, Scores, Span, Unit, explain

__all__ = ["Explanation", "Scores", "Span", "Unit", "explain"]

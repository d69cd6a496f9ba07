"""How many replicas there should be, by how long calls wait for them.

Serve's own measure counts calls; ten documents and ten thousand are one call each. Serve bounds and delays what comes
of it (`min_replicas`, `max_replicas`, `upscale_delay_s` ...), and loads this file by itself: it must import nothing of
crossrank. It knows seconds and numbers of replicas.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

TARGET_S = 0.5


class ByWait:
    """So many replicas that the work that waits, shared among them, takes each about the target.

    Args:
        target_s: seconds of work that may wait at a replica, those in progress included.
    """

    def __init__(self, target_s: float = TARGET_S) -> None:
        if not target_s > 0:
            raise ValueError(f"target_s={target_s}; it must be above 0")
        self._target_s = target_s

    def __call__(self, context: "AutoscalingContext") -> tuple[float, dict[str, Any]]:
        """The replicas that are wanted, and no state to be kept."""
        waits = (context.aggregated_metrics or {}).get("wait_s", {})
        return sum(waits.values()) / self._target_s, {}

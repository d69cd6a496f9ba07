"""Finds out how a server that was given by its URL is spoken to, and how much it takes, from what it says of itself.

It knows the servers' self-descriptions; it sends no query and no document.
"""

from dataclasses import dataclass, replace
from typing import Any

from crossrank.remote.client import Client
from crossrank.remote.failures import VendorError
from crossrank.remote.limits import Limits
from crossrank.remote.spec import Target
from crossrank.remote.vendors import VENDORS, Vendor
from crossrank.wire import Dialect, WireError
from crossrank.wire.body import parse

OWNERS = {"vllm": "vllm", "infinity": "infinity", "llamacpp": "llamacpp", "crossrank": "crossrank"}  # of /v1/models


@dataclass(frozen=True, slots=True)
class Route:
    """How calls are made: the vendor's ways, the dialect, the address, the limits, the name of the model."""

    vendor: Vendor
    dialect: Dialect
    url: str
    limits: Limits
    model: str | None


async def find_route(client: Client, target: Target) -> Route:
    """The way to a target; a server is asked what it is where that cannot be told from the name.

    Raises:
        VendorError: it cannot be reached, or does not say what it is.
    """
    vendor, model = target.vendor, target.model
    limits = vendor.limits_of(model)
    if vendor.limits_told:
        limits = _told_limits(await _facts(client, target, "/info"), limits)
    elif vendor.dialect is None:
        vendor, limits, model = await _detected(client, target)
    dialect = vendor.dialect
    assert dialect is not None, "bug: a vendor that was found has no dialect"
    return Route(vendor, dialect, replace(target, vendor=vendor, model=model).endpoint(dialect), limits, model)


async def _detected(client: Client, target: Target) -> tuple[Vendor, Limits, str | None]:
    info = await _facts(client, target, "/info")
    if "crossrank" in info or str(info.get("server", "")).startswith("crossrank"):
        return _titled("crossrank", target), VENDORS["crossrank"].limits, None
    if "max_client_batch_size" in info:
        return _titled("tei", target), _told_limits(info, VENDORS["tei"].limits), None
    models = (await _facts(client, target, "/v1/models")).get("data") or (await _facts(client, target, "/models")).get(
        "data"
    )
    first = models[0] if isinstance(models, list) and models and isinstance(models[0], dict) else {}
    name = OWNERS.get(str(first.get("owned_by", "")).lower())
    if name is None:
        raise VendorError.of(
            target.vendor.title,
            f"{target.vendor.title} does not say which dialect it speaks (asked: /info, /v1/models, /models). "
            "Give dialect=, or name the kind of server and its address: 'vllm:MODEL' with base_url=.",
        )
    model = first.get("id")
    return _titled(name, target), VENDORS[name].limits, model if isinstance(model, str) else None


def _titled(name: str, target: Target) -> Vendor:
    return replace(VENDORS[name], title=target.vendor.title)


def _told_limits(info: dict[str, Any], limits: Limits) -> Limits:
    """Of TEI: a call takes a permit for each text, so both numbers bound it."""
    said = [info.get("max_client_batch_size"), info.get("max_concurrent_requests")]
    numbers = [number for number in said if isinstance(number, int) and number > 0]
    return replace(limits, documents_max=min(numbers)) if numbers else limits


async def _facts(client: Client, target: Target, path: str) -> dict[str, Any]:
    """What a server says of itself under a path; nothing where there is no such thing."""
    base = target.base_url
    for dialect_path in ("/v1/rerank", "/v2/rerank", "/rerank", "/v1"):
        base = base.removesuffix(dialect_path)
    try:
        return parse(await client.get(base + path) or b"{}", dict[str, Any])
    except WireError:
        return {}

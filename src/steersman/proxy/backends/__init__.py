"""Ways to put rules into a kernel. ``REGISTRY`` lists them by the name that ``--proxy-mode`` has for them."""

from __future__ import annotations

from collections.abc import Mapping

REGISTRY: Mapping[str, tuple[str, str]] = {
    "nftables": ("steersman.proxy.backends.nftables", "NftablesBackend"),
}
"""Mode -> (module, class): imported when it is chosen."""

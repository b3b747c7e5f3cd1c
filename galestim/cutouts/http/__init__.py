"""HTTP transport with retries, rate limits per host, and limits on time and memory."""

from ._secrets import SecretUrl, digest, digested
from ._transport import Reply, Transport

__all__ = ["Reply", "Transport"]

"""HTTP transport with retries, rate limits per host, and limits on time and memory."""

from ._secrets import digest, digested, hidden, shown
from ._session import Company
from ._transport import Reply, Transport

__all__ = ["Reply", "Transport"]

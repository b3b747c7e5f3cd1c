"""HTTP transport with retries, rate limits per host, and limits on time and memory."""

from ._reply import Reply
from ._secrets import digest, digested, hidden, shown
from ._session import Company
from ._transport import Transport

__all__ = ["Reply", "Transport"]

"""Health, as far as an instance's state and its age tell it."""

_DEAD = {"stopping": "it is stopping", "stopped": "it is stopped", "failed": "it failed"}


def judge(state, message, created_at_ms, now_ms, boot_timeout_ms):
    """How an instance is, as the name of a status, and why.

    Running is healthy. Pending cannot be told yet, until the instance has been so for `boot_timeout_ms`: then it hangs.
    """
    because = f": {message}" if message else ""
    if state == "running":
        return "healthy", ""
    if state in _DEAD:
        return "unhealthy", _DEAD[state] + because
    if created_at_ms is None:
        return "unknown", f"not running yet, and the provider does not tell since when{because}"
    # A provider's clock may be ahead of this one.
    age_ms = max(0, now_ms - created_at_ms)
    if age_ms > boot_timeout_ms:
        limit = _seconds(boot_timeout_ms)
        return "unhealthy", f"not running {_seconds(age_ms)} after it was made; BootTimeout is {limit}{because}"
    return "unknown", f"booting for {_seconds(age_ms)}{because}"


def _seconds(ms):
    return f"{ms // 1000} s"

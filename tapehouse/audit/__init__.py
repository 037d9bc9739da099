"""`tapehouse audit`: the invariants of RELIABILITY, held against a running exchange."""

from tapehouse.audit.command import audit_command

__all__ = ["audit_command"]

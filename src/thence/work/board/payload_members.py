"""The members of an event's payload that a board needs, decoded from the event's line."""

from typing import Any

import msgspec

from thence.core.event import Event


class PayloadMembers(msgspec.Struct, frozen=True, gc=False):
    """The payload members that a board needs; a member may hold any JSON value."""

    wp_id: Any = None
    work_package_id: Any = None
    feature_slug: Any = None
    new_status: Any = None
    previous_status: Any = None
    old_status: Any = None
    changed_by: Any = None
    title: Any = None
    dependencies: Any = None
    agent_id: Any = None
    phase: Any = None
    retry_count: Any = None
    mission: Any = None
    feature_number: Any = None
    target_branch: Any = None
    dependency_wp_id: Any = None
    resolution_type: Any = None
    worktree_path: Any = None
    branch_name: Any = None
    subtask_index: Any = None
    gate_type: Any = None
    gate_id: Any = None
    entry_type: Any = None
    entry_content: Any = None
    author: Any = None
    commit: Any = None
    base: Any = None
    patch: Any = None
    patches: Any = None
    how: Any = None
    reason: Any = None
    old_wp_id: Any = None


class _Line(msgspec.Struct, frozen=True, gc=False):
    payload: PayloadMembers = PayloadMembers()


_decode = msgspec.json.Decoder(_Line).decode


def members_of(event: Event) -> PayloadMembers:
    """Returns the payload members that a board needs; a missing member is None."""
    try:
        return _decode(event.line).payload
    except msgspec.MsgspecError:  # a payload that is no map, a number that Python can't hold
        payload = event.payload
        return PayloadMembers(
            **{name: payload[name] for name in PayloadMembers.__struct_fields__ if name in payload}
        )

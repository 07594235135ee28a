"""What an event's payload holds of all that a board is made of, read off the event's line."""

from typing import Any

import msgspec

from thence.core.event import Event


class PayloadMembers(msgspec.Struct, frozen=True, gc=False):
    """The members of payloads that a board is made of; any of them may hold anything."""

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
    """Returns the members that a board is made of; what is missing is None."""
    try:
        return _decode(event.line).payload
    except msgspec.MsgspecError:  # a payload that is no map, a number that Python can't hold
        held = event.payload
        return PayloadMembers(
            **{name: held[name] for name in PayloadMembers.__struct_fields__ if name in held}
        )

"""A setting by its key, such as `engine.growth`, put into the content of a scenario's file."""

from typing import Any

from thence.core.nearest import nearest


def put_setting(raw: dict[str, Any], key: str, value: object) -> tuple[tuple[str | int, ...], str]:
    """Puts a value where its key leads, and returns the path to it, and why it can't be or "".

    An item of a list is called by its `name`, or counted from 0: `agents.ada.step`. A map that
    lacks is made: the reader of scenarios judges every key.
    """
    *parts, last = key.split(".")
    path: tuple[str | int, ...] = ()
    holder: Any = raw
    for part in (*parts, last):
        step: str | int = part
        if isinstance(holder, list):
            names = [item.get("name", "") if isinstance(item, dict) else "" for item in holder]
            names += map(str, range(len(holder)))
            if part not in names:
                near = " or ".join(nearest(part, names, likeness=0))
                return path, f"it has no {part!r}; the nearest is {near}"
            step = names.index(part) % len(holder)
        elif not isinstance(holder, dict):
            return path, f"it is {holder!r:.60}, in which nothing can be set"
        path = (*path, step)
        if len(path) > len(parts):
            holder[step] = value
            break
        if isinstance(step, str) and holder.get(step) is None:
            holder[step] = {}
        holder = holder[step]
    return path, ""

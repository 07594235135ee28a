"""One look at a project: what its journal, its refs and its planning files said.

A snapshot does not change. A command decides on one snapshot, and its appends are guarded by it:
what others append meanwhile is in the next snapshot.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import cached_property

import msgspec

from thence.core.event import Event
from thence.core.new_event import Position, Unchanged
from thence.errors import PlanningError, Refused
from thence.git.landed import Memo
from thence.git.refs import Refs
from thence.git.repository import branch_of
from thence.work.board.state import Board, FeatureState
from thence.work.names import is_slug, resolve, wp_id_of
from thence.work.plan.planning_files import Planning
from thence.work.plan.tasks import PlannedPackage, parse
from thence.work.project.project import Project


class Snapshot(msgspec.Struct, frozen=True, dict=True):
    """What a command has read of a project.

    `board` is folded from `events`, which are in order of arrival. `planning` reads git's refs, at
    the first question alone. `memo` is the cache of git's answers about commits.
    """

    project: Project
    memo: Memo
    planning: Planning
    board: Board = Board()
    events: Sequence[Event] = ()

    @property
    def refs(self) -> Refs:
        """The refs; raises GitFailed."""
        return self.planning.read_refs()

    @cached_property
    def position(self) -> Position:
        """The position behind all events that the board was folded from."""
        return Position().after(self.events)

    def guard(self, subjects: Collection[str], types: Collection[str]) -> Unchanged:
        """Returns the guard that no event of these types came on subjects since the look."""
        return Unchanged(self.position, subjects, types)

    def not_imported(self) -> list[str]:
        """Returns the features that have planning files, and whose beginning is not in the log.

        `thence work finalize-tasks` adopts them.
        """
        known = {feature.folder for feature in self.board.features.values() if feature.folder}
        for slug, feature in self.board.features.items():
            created = (package.created_event for package in feature.packages.values())
            if any((feature.spec_event, feature.created_event, *created)):
                known.add(slug)
        return [slug for slug in self.planning.slugs() if is_slug(slug) and slug not in known]

    def feature(self, name: str | None, *packages: str) -> FeatureState:
        """Returns the command's feature: the named one, that of this worktree, the only one.

        That is the only open one, the only one that has the named packages, or the only open one
        that has any. Raises Refused for one that is not on the board, PlanningError where several
        are possible or none is open.
        """
        features, here = self.board.features, self.planning.feature_here()
        wp_ids = [wp_id_of(package) for package in packages]
        remaining = [slug for slug, one in features.items() if not one.is_completed]
        owners = [slug for slug in features if wp_ids and {*wp_ids} <= {*features[slug].packages}]
        planned = [slug for slug in remaining if features[slug].packages and not wp_ids]
        if name is not None:
            feature = self._feature_named(name)
        elif here in features:
            feature = features[here]
        elif found := next((one for one in (remaining, owners, planned) if len(one) == 1), None):
            feature = features[found[0]]
        else:
            cause, hint = f"there are {', '.join(remaining)}", "name one with --feature"
            if owners:
                cause = f"{', '.join(wp_ids)}: several features have it, {', '.join(owners)}"
            elif not remaining:
                cause = "there is none that is not completed"
                step = "finalize-tasks" if self.not_imported() else "setup-spec TITLE"
                hint = f"thence work {step}"
            raise PlanningError("could not decide which feature is meant", cause=cause, hint=hint)
        return feature

    def _feature_named(self, name: str) -> FeatureState:
        features = self.board.features
        try:
            return features[resolve(name, features)]
        except Refused:
            renamed = {one.folder: one for one in features.values() if one.folder}
            with suppress(Refused):
                return renamed[resolve(name, renamed)]
            slug = resolve(name, [*features, *self.not_imported()])
            raise Refused(
                "could not use the feature",
                guard="not_imported",
                place=slug,
                cause="its planning files were never brought into the log",
                hint=f"thence work finalize-tasks --feature {slug}",
            ) from None

    def planned(self, feature: FeatureState) -> Mapping[str, PlannedPackage]:
        """Returns the packages of a feature as planned in tasks.md, by id.

        Sections of packages that lost their number are left out.
        """
        if feature.slug not in self._planned:
            path = self.planning.path(feature.slug, "tasks.md")
            data = self.planning.read(self.target_of(feature), path)
            packages = parse(data, path).packages if data is not None else ()
            lost = {(w, one.title) for w, keeper in feature.packages.items() for one in keeper.lost}
            kept = {one.wp_id: one for one in packages if (one.wp_id, one.title) not in lost}
            self._planned[feature.slug] = kept
        return self._planned[feature.slug]

    @cached_property
    def _planned(self) -> dict[str, Mapping[str, PlannedPackage]]:
        return {}

    def target_of(self, feature: FeatureState) -> str:
        """Returns the branch that a feature goes to.

        Raises PlanningError where it is neither here nor on a remote, as after it was renamed.
        """
        name = feature.target_branch
        if not name:
            here = branch_of(self.project.main)
            meta = self.planning.meta(here, feature.slug)
            if meta is None or not meta.target_branch:
                return here
            name = meta.target_branch
        refs = self.refs
        if name in refs.branches or refs.on_remotes(name) or not refs.commits:
            return name
        raise PlanningError(
            "could not find the branch of the feature",
            place=feature.slug,
            cause=f"{name}, its target, is neither here nor on a remote",
            hint=f"git fetch, or make it again: git branch {name} COMMIT",
        )

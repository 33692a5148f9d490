"""What engines have of an Adapter becomes Loaded, instances and the finalizer. Calls no engine. Pure."""

from collections.abc import Sequence

from fettle_operator.adapters.draft import AdapterDraft
from fettle_operator.serving.views import InstanceView, ServingView
from fettle_schema.adapter import ServingInstance
from fettle_schema.reasons import Reason
from fettle_schema.vocabulary import AdapterConditionType

MAX_INSTANCES = 256
_LOADED = AdapterConditionType.LOADED
_CHECK_SECONDS = 5.0


def report_loading(draft: AdapterDraft) -> None:
    """Loaded, instances and finalizer of an Adapter that is not being deleted."""
    serving, is_wanted = draft.observation.serving, draft.spec.serving.load
    if not draft.settings.loads_adapters:
        return _report_unmanaged(draft)
    _record_instances(draft, serving, is_wanted)
    if is_wanted:
        _report_wanted(draft, serving)
        if _may_be_loaded(draft) and not draft.observation.has_finalizer:
            draft.put_finalizer(True)
    else:
        _report_unwanted(draft, serving)
    return None


def forget_verification(draft: AdapterDraft) -> None:
    """Who asks for loading has the files read again, however lately they were."""
    loaded = draft.find(_LOADED)
    is_new = loaded is None or loaded.reason == Reason.NOT_REQUESTED
    if draft.spec.serving.load and draft.settings.loads_adapters and is_new:
        draft.status.verified_at = None


def report_deletion(draft: AdapterDraft) -> None:
    """Let it go once no engine has it; engines that do not answer are waited for only so long."""
    observation = draft.observation
    if not observation.has_finalizer or observation.deleted_at is None:
        return None
    left = draft.settings.engine_give_up_seconds - (draft.now - observation.deleted_at).total_seconds()
    if left <= 0 or _is_nowhere(observation.serving):
        return draft.put_finalizer(False)
    _record_instances(draft, observation.serving, is_wanted=False)
    draft.set(_LOADED, "Unknown", Reason.UNLOADING, "it is deleted once no engine has it any more")
    return draft.plan.look_again(min(left, _CHECK_SECONDS))


def _may_be_loaded(draft: AdapterDraft) -> bool:
    """The finalizer comes before the first engine is asked: a crash in between must not lose it."""
    is_fit = draft.holds(AdapterConditionType.ARTIFACT_READY) and draft.holds(AdapterConditionType.COMPATIBLE)
    return is_fit and draft.is_current and draft.status.verified_at is not None


def _report_unmanaged(draft: AdapterDraft) -> None:
    if draft.spec.serving.load:
        message = "on one machine the facade of `fettle up` starts an engine and loads what it is asked to load"
        draft.set(_LOADED, "Unknown", Reason.NOT_MANAGED, message)
    elif draft.find(_LOADED) is not None:
        draft.set(_LOADED, "False", Reason.NOT_REQUESTED)


def _report_wanted(draft: AdapterDraft, serving: ServingView | None) -> None:
    ready = [instance for instance in (serving or ServingView()).instances if instance.is_ready]
    path = f"{draft.settings.engine_workspace}/{draft.status.path}"
    having = [instance for instance in ready if instance.path == path and instance.problem is None]
    draft.status.ready_pods = f"{len(having)}/{len(ready)}" if serving is not None else draft.status.ready_pods
    compatible = draft.find(AdapterConditionType.COMPATIBLE)
    if compatible is not None and compatible.status == "False":
        return draft.set(_LOADED, "False", compatible.reason, compatible.message)
    if not draft.holds(AdapterConditionType.ARTIFACT_READY) or draft.status.verified_at is None:
        return draft.set(_LOADED, "Unknown", Reason.LOADING, "waits until its files are verified")
    if serving is None:
        if draft.find(_LOADED) is None:
            draft.set(_LOADED, "Unknown", Reason.LOADING, "engines are being asked what they have")
        return None
    if not ready:
        selector = draft.spec.serving.selector
        message = f"no pod that is ready matches {_shown(selector.match_labels if selector else {})}"
        return draft.set(_LOADED, "Unknown", Reason.NO_ENGINES, message)
    return _compare(draft, ready, having)


def _compare(draft: AdapterDraft, ready: Sequence[InstanceView], having: Sequence[InstanceView]) -> None:
    count = f"{len(having)} of {len(ready)} engines that are ready have it"
    if len(having) == len(ready):
        return draft.set(_LOADED, "True", Reason.LOADED, count)
    draft.plan.look_again(draft.settings.verification_seconds)
    troubled = next((instance for instance in ready if instance.problem is not None), None)
    if troubled is None or troubled.problem is None:
        return draft.set(_LOADED, "Unknown", Reason.LOADING, count)
    problem = troubled.problem
    return draft.set(_LOADED, "False", problem.reason, f"{count}; {troubled.pod}: {problem.words}")


def _report_unwanted(draft: AdapterDraft, serving: ServingView | None) -> None:
    if draft.observation.has_finalizer and not _is_nowhere(serving):
        draft.set(_LOADED, "Unknown", Reason.UNLOADING, "engines that have it are asked to unload it")
        return draft.plan.look_again(_CHECK_SECONDS)
    draft.status.ready_pods, draft.status.instances = None, None
    draft.set(_LOADED, "False", Reason.NOT_REQUESTED)
    if draft.observation.has_finalizer:
        draft.put_finalizer(False)
    return None


def _is_nowhere(serving: ServingView | None) -> bool:
    if serving is None or not serving.is_unwanted:
        return False
    return all(one.is_known and one.path is None for one in serving.instances)


def _record_instances(draft: AdapterDraft, serving: ServingView | None, is_wanted: bool) -> None:
    """`loadedAt` is when a path was first seen in a pod."""
    if serving is None:
        return
    before = {(one.pod_uid, one.path): one.loaded_at for one in draft.status.instances or []}
    draft.status.instances = [
        ServingInstance(
            pod=one.pod,
            pod_uid=one.pod_uid,
            url=one.url,
            path=one.path,
            loaded_at=(before.get((one.pod_uid, one.path)) or draft.now) if one.path else None,
            error=one.problem.words[:4096] if one.problem else None,
        )
        for one in sorted(serving.instances, key=lambda one: one.pod)
        if one.path is not None or one.problem is not None or is_wanted
    ][:MAX_INSTANCES]


def _shown(labels: dict[str, str]) -> str:
    return f"spec.serving.selector ({labels})" if labels else 'the label fettle.dev/engine="true"'

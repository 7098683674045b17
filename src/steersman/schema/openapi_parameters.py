"""Query and path parameters of the API: type and what they are for, in our words.

Source: ListOptions, PatchOptions, DeleteOptions, PodLogOptions and their kin in the API reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from steersman.schema.openapi_operation import Operation


class Parameter(Struct, frozen=True):
    type: str
    description: str


QUERY: Mapping[str, Parameter] = {
    "allowWatchBookmarks": Parameter("boolean", "Ask a watch for events of type BOOKMARK, which carry a resourceVersion to resume from. Ignored where this is not a watch."),
    "command": Parameter("string", "The command to run, one element of its argument vector for each occurrence; no shell is involved."),
    "container": Parameter("string", "The container within the pod. Defaults to the only one where there is only one."),
    "continue": Parameter("string", "Where a list that was cut by 'limit' goes on: the value of 'metadata.continue' of the previous answer, with all other parameters as before. 410 says that it has expired."),
    "dryRun": Parameter("string", "'All' runs every stage of the request except that nothing is persisted. Other values are refused."),
    "fieldManager": Parameter("string", "Name of who makes the change, up to 128 printable characters. Required for apply, otherwise taken from the user agent."),
    "fieldSelector": Parameter("string", "Only objects whose fields have these values: name=value or name!=value, separated by commas."),
    "fieldValidation": Parameter("string", "What to do about unknown and duplicate fields: 'Ignore' drops them, 'Warn' (the default) also sends a Warning header, 'Strict' refuses the request."),
    "follow": Parameter("boolean", "Keep the log stream open and send what is written from now on."),
    "force": Parameter("boolean", "Take over fields that other managers own. Only for apply requests."),
    "gracePeriodSeconds": Parameter("integer", "Seconds until the object is deleted; not negative, 0 is at once. Defaults to the object's own grace period."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": Parameter("boolean", "Delete an object that cannot be read, without regard to finalizers and preconditions. Alpha, and without effect while its feature gate is off."),
    "insecureSkipTLSVerifyBackend": Parameter("boolean", "Do not verify the serving certificate of the node that the log comes from."),
    "labelSelector": Parameter("string", "Only objects with these labels, in the form of label selectors."),
    "limit": Parameter("integer", "The most objects that one answer may have; where more exist, 'metadata.continue' says how to go on. Not for watches."),
    "limitBytes": Parameter("integer", "The most bytes of the log to send; may cut the last line."),
    "orphanDependents": Parameter("boolean", "Deprecated in favour of 'propagationPolicy': true keeps dependents. Not together with it."),
    "path": Parameter("string", "The path, and query, of the request behind the proxy."),
    "ports": Parameter("integer", "The ports to forward; required for WebSockets."),
    "pretty": Parameter("string", "'true' indents the answer; the default for browsers, curl and wget."),
    "previous": Parameter("boolean", "Logs of the container's previous instance."),
    "propagationPolicy": Parameter("string", "What happens to dependents: 'Orphan' keeps them, 'Background' deletes them afterwards, 'Foreground' before the object itself."),
    "resourceVersion": Parameter("string", "Which version of the data a request may be served from; unset is the most recent one."),
    "resourceVersionMatch": Parameter("string", "How 'resourceVersion' applies to a list: 'Exact' or 'NotOlderThan'."),
    "sendInitialEvents": Parameter("boolean", "Begin a watch with events that give the present state, followed by a bookmark with the annotation k8s.io/initial-events-end. Needs resourceVersionMatch=NotOlderThan."),
    "shardSelector": Parameter("string", "Only objects of some ranges of hashes. Alpha, and off: has no effect."),
    "sinceSeconds": Parameter("integer", "Only log lines of the last so many seconds."),
    "stderr": Parameter("boolean", "Attach the standard error stream."),
    "stdin": Parameter("boolean", "Attach the standard input stream."),
    "stdout": Parameter("boolean", "Attach the standard output stream."),
    "stream": Parameter("string", "Which stream of the log: 'All' (the default), 'Stdout' or 'Stderr'."),
    "tailLines": Parameter("integer", "Only so many lines from the end of the log."),
    "timeoutSeconds": Parameter("integer", "How long a list or watch may take, whatever happens meanwhile."),
    "timestamps": Parameter("boolean", "Begin each log line with its time."),
    "tty": Parameter("boolean", "Allocate a terminal for the call."),
    "watch": Parameter("boolean", "Stream changes as events instead of listing."),
}  # fmt: skip


def path_description(name: str, noun: str) -> str:
    """What a part of a path stands for."""
    if name == "namespace":
        return "object name and auth scope, such as for teams and projects"
    return f"name of the {noun}" if name == "name" else "path to the resource"


def by_path(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """Operations by their path; paths in order."""
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        found.setdefault(operation.path, []).append(operation)
    return dict(sorted(found.items()))


def shared_query(operations: Sequence[Operation]) -> list[str]:
    """The query parameters that all methods of one path have: documents list them once, beside the methods, as upstream's do."""
    first = operations[0]
    shared = set(first.query).intersection(*(operation.query for operation in operations[1:]))
    if first.group_version_kind is not None and first.produces != "any":
        shared.add("pretty")
    return sorted(shared)


def position(parameter: Mapping[str, str]) -> tuple[str, str]:
    """What lists of parameters are sorted by: the name, then where it stands."""
    reference = parameter.get("$ref", "")
    return parameter.get("name") or reference.rpartition("/")[2], parameter.get("in", "query")

"""Every kind that kube-apiserver v1.36 serves by default, in upstream's discovery order.

Beta and alpha versions are off by default and not here. Within a group, kinds stand in the order of their plurals, as discovery
lists them.
"""

from __future__ import annotations

from steersman.schema.groups.admissionregistration import (
    mutatingadmissionpolicy,
    mutatingadmissionpolicybinding,
    mutatingwebhookconfiguration,
    validatingadmissionpolicy,
    validatingadmissionpolicybinding,
    validatingwebhookconfiguration,
)
from steersman.schema.groups.apiextensions import customresourcedefinition
from steersman.schema.groups.apiregistration import apiservice
from steersman.schema.groups.apps import controllerrevision, daemonset, deployment, replicaset, statefulset
from steersman.schema.groups.authentication import selfsubjectreview, tokenrequest, tokenreview
from steersman.schema.groups.authorization import (
    localsubjectaccessreview,
    selfsubjectaccessreview,
    selfsubjectrulesreview,
    subjectaccessreview,
)
from steersman.schema.groups.autoscaling import horizontalpodautoscaler, scale
from steersman.schema.groups.batch import cronjob, job
from steersman.schema.groups.certificates import certificatesigningrequest
from steersman.schema.groups.coordination import lease
from steersman.schema.groups.core import (
    binding,
    componentstatus,
    configmap,
    endpoints,
    event,
    limitrange,
    namespace,
    persistentvolume,
    persistentvolumeclaim,
    pod,
    podtemplate,
    replicationcontroller,
    resourcequota,
    secret,
    service,
    serviceaccount,
)
from steersman.schema.groups.core import (
    node as core_node,
)
from steersman.schema.groups.discovery import endpointslice
from steersman.schema.groups.events import event as new_event
from steersman.schema.groups.flowcontrol import flowschema, prioritylevelconfiguration
from steersman.schema.groups.networking import ingress, ingressclass, ipaddress, networkpolicy, servicecidr
from steersman.schema.groups.node import runtimeclass
from steersman.schema.groups.policy import eviction, poddisruptionbudget
from steersman.schema.groups.rbac import clusterrole, clusterrolebinding, role, rolebinding
from steersman.schema.groups.resource import deviceclass, resourceclaim, resourceclaimtemplate, resourceslice
from steersman.schema.groups.scheduling import priorityclass
from steersman.schema.groups.storage import (
    csidriver,
    csinode,
    csistoragecapacity,
    storageclass,
    volumeattachment,
    volumeattributesclass,
)
from steersman.schema.kind import Kind

REGISTRY: tuple[Kind, ...] = (
    binding.KIND,
    componentstatus.KIND,
    configmap.KIND,
    endpoints.KIND,
    event.KIND,
    limitrange.KIND,
    namespace.KIND,
    core_node.KIND,
    persistentvolumeclaim.KIND,
    persistentvolume.KIND,
    pod.KIND,
    podtemplate.KIND,
    replicationcontroller.KIND,
    resourcequota.KIND,
    secret.KIND,
    serviceaccount.KIND,
    service.KIND,
    apiservice.KIND,
    controllerrevision.KIND,
    daemonset.KIND,
    deployment.KIND,
    replicaset.KIND,
    statefulset.KIND,
    new_event.KIND,
    selfsubjectreview.KIND,
    tokenreview.KIND,
    localsubjectaccessreview.KIND,
    selfsubjectaccessreview.KIND,
    selfsubjectrulesreview.KIND,
    subjectaccessreview.KIND,
    *horizontalpodautoscaler.KINDS,
    cronjob.KIND,
    job.KIND,
    certificatesigningrequest.KIND,
    ingressclass.KIND,
    ingress.KIND,
    ipaddress.KIND,
    networkpolicy.KIND,
    servicecidr.KIND,
    poddisruptionbudget.KIND,
    clusterrolebinding.KIND,
    clusterrole.KIND,
    rolebinding.KIND,
    role.KIND,
    csidriver.KIND,
    csinode.KIND,
    csistoragecapacity.KIND,
    storageclass.KIND,
    volumeattachment.KIND,
    volumeattributesclass.KIND,
    mutatingadmissionpolicy.KIND,
    mutatingadmissionpolicybinding.KIND,
    mutatingwebhookconfiguration.KIND,
    validatingadmissionpolicy.KIND,
    validatingadmissionpolicybinding.KIND,
    validatingwebhookconfiguration.KIND,
    customresourcedefinition.KIND,
    priorityclass.KIND,
    lease.KIND,
    runtimeclass.KIND,
    endpointslice.KIND,
    deviceclass.KIND,
    resourceclaim.KIND,
    resourceclaimtemplate.KIND,
    resourceslice.KIND,
    flowschema.KIND,
    prioritylevelconfiguration.KIND,
)

SUBRESOURCE_KINDS: tuple[Kind, ...] = (eviction.KIND, scale.KIND, tokenrequest.KIND)
"""Bodies of subresources that have no resource of their own (``plural`` is empty): their definitions, defaults and rules."""

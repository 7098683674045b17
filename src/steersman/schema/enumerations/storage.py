"""Enumerated types of volumes, claims and storage classes."""

from __future__ import annotations

from steersman.schema.enumerations.enumeration import Enumeration
from steersman.schema.groups.core.claimspec import ACCESS_MODES, VOLUME_MODES
from steersman.schema.groups.core.persistentvolumeclaim import RESIZE_STATUSES
from steersman.schema.groups.core.volumesources import AZURE_DISK_KINDS, CACHING_MODES, HOST_PATH_TYPES
from steersman.schema.groups.core.volumespec import RECLAIM_POLICIES
from steersman.schema.groups.storage.storageclass import BINDING_MODES

_CORE = "io.k8s.api.core.v1"

STORAGE: tuple[Enumeration, ...] = (
    Enumeration(values=CACHING_MODES, fields=(f"{_CORE}.AzureDiskVolumeSource/cachingMode",)),
    Enumeration(values=AZURE_DISK_KINDS, fields=(f"{_CORE}.AzureDiskVolumeSource/kind",)),
    Enumeration(
        values=HOST_PATH_TYPES,
        meanings={
            "": "nothing is checked.",
            "BlockDevice": "a block device must be there.",
            "CharDevice": "a character device must be there.",
            "Directory": "a directory must be there.",
            "DirectoryOrCreate": "an empty directory of mode 0755 is made where there is nothing.",
            "File": "a file must be there.",
            "FileOrCreate": "an empty file of mode 0644 is made where there is nothing.",
            "Socket": "a UNIX socket must be there.",
        },
        fields=(f"{_CORE}.HostPathVolumeSource/type",),
    ),
    Enumeration(
        values=("InProgress", "Infeasible", "Pending"),
        meanings={
            "InProgress": "the volume is being modified.",
            "Infeasible": "the driver refused; another VolumeAttributesClass is needed.",
            "Pending": "something is missing, such as the VolumeAttributesClass.",
        },
        fields=(f"{_CORE}.ModifyVolumeStatus/status",),
    ),
    Enumeration(
        values=ACCESS_MODES,
        fields=(
            f"{_CORE}.PersistentVolumeClaimSpec/accessModes",
            f"{_CORE}.PersistentVolumeClaimStatus/accessModes",
            f"{_CORE}.PersistentVolumeSpec/accessModes",
        ),
    ),
    Enumeration(
        values=VOLUME_MODES,
        meanings={
            "Block": "a raw block device without a file system.",
            "Filesystem": "a file system, made where there is none.",
        },
        fields=(f"{_CORE}.PersistentVolumeClaimSpec/volumeMode", f"{_CORE}.PersistentVolumeSpec/volumeMode"),
    ),
    Enumeration(
        values=RESIZE_STATUSES,
        fields=(f"{_CORE}.PersistentVolumeClaimStatus/allocatedResourceStatuses",),
    ),
    Enumeration(
        values=("Bound", "Lost", "Pending"),
        meanings={
            "Bound": "it has a volume.",
            "Lost": "the volume that it had does not exist any more, nor do its data.",
            "Pending": "it has no volume yet.",
        },
        fields=(f"{_CORE}.PersistentVolumeClaimStatus/phase",),
    ),
    Enumeration(
        values=RECLAIM_POLICIES,
        meanings={
            "Delete": "a volume is deleted with its claim, where the driver can.",
            "Recycle": "a volume is emptied and offered again. Deprecated.",
            "Retain": "a volume stays as it is until someone looks after it.",
        },
        fields=(
            f"{_CORE}.PersistentVolumeSpec/persistentVolumeReclaimPolicy",
            "io.k8s.api.storage.v1.StorageClass/reclaimPolicy",
        ),
    ),
    Enumeration(
        values=("Available", "Bound", "Failed", "Pending", "Released"),
        meanings={
            "Available": "no claim has it.",
            "Bound": "a claim has it.",
            "Failed": "its claim is gone, and it could not be recycled or deleted.",
            "Pending": "it cannot be used yet.",
            "Released": "its claim is gone, and it has not been reclaimed.",
        },
        fields=(f"{_CORE}.PersistentVolumeStatus/phase",),
    ),
    Enumeration(
        values=BINDING_MODES,
        meanings={
            "Immediate": "claims are bound, and volumes made, at once. The default.",
            "WaitForFirstConsumer": "when the first pod that needs the claim is scheduled.",
        },
        fields=("io.k8s.api.storage.v1.StorageClass/volumeBindingMode",),
    ),
)

"""Every word that Shardwright gives as a reason, once.

The same word stands in a condition, an event, a log line and a test. Words are CamelCase because the Kubernetes API
asks for that in conditions. Nothing here knows what the words lead to.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something is as it is; each value equals its name."""

    # The spec
    SPEC_VALID = "SpecValid"
    SPEC_INVALID = "SpecInvalid"
    NOT_SUPPORTED_YET = "NotSupportedYet"
    UNKNOWN_MODEL = "UnknownModel"
    MODEL_FACTS_PENDING = "ModelFactsPending"
    MODEL_FACTS_UNREADABLE = "ModelFactsUnreadable"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_ACCESS_DENIED = "ModelAccessDenied"
    HUB_UNREACHABLE = "HubUnreachable"
    UNKNOWN_ENGINE_VERSION = "UnknownEngineVersion"
    UNKNOWN_QUANTIZATION = "UnknownQuantization"
    UNSUPPORTED_ARGUMENT = "UnsupportedArgument"
    NAME_TAKEN = "NameTaken"
    QUOTA_EXCEEDED = "QuotaExceeded"

    # A node that cannot be planned on
    NO_GPU = "NoGpu"
    NODE_NOT_READY = "NodeNotReady"
    NODE_CORDONED = "NodeCordoned"
    NODE_BEING_DELETED = "NodeBeingDeleted"
    UNKNOWN_GPU = "UnknownGpu"
    MALFORMED_LABEL = "MalformedLabel"
    MALFORMED_ANNOTATION = "MalformedAnnotation"
    MIXED_GPUS = "MixedGpus"
    MIG_MIXED = "MigMixed"
    TIME_SHARED = "TimeShared"
    LABELS_WITHOUT_DEVICES = "LabelsWithoutDevices"
    DEVICES_WITHOUT_LABELS = "DevicesWithoutLabels"

    # A layout that loses
    WEIGHTS_DO_NOT_FIT = "WeightsDoNotFit"
    KV_CACHE_TOO_SMALL = "KvCacheTooSmall"
    CONTEXT_TOO_LONG = "ContextTooLong"
    HEADS_NOT_DIVISIBLE = "HeadsNotDivisible"
    KV_HEADS_NOT_DIVISIBLE = "KvHeadsNotDivisible"
    VOCABULARY_NOT_DIVISIBLE = "VocabularyNotDivisible"
    LINEAR_NOT_DIVISIBLE = "LinearNotDivisible"
    QUANTIZATION_BLOCK_NOT_DIVISIBLE = "QuantizationBlockNotDivisible"
    TOO_FEW_LAYERS = "TooFewLayers"
    TOO_FEW_EXPERTS = "TooFewExperts"
    NOT_A_MIXTURE_OF_EXPERTS = "NotAMixtureOfExperts"
    DTYPE_NEEDS_NEWER_GPU = "DtypeNeedsNewerGpu"
    PIPELINE_NOT_SUPPORTED = "PipelineNotSupported"
    MULTI_NODE_NOT_SUPPORTED = "MultiNodeNotSupported"
    STATE_SLOTS_TOO_FEW = "StateSlotsTooFew"
    CROSSES_ISLAND = "CrossesIsland"
    SLICES_CANNOT_JOIN = "SlicesCannotJoin"
    NOT_ENOUGH_FREE_GPUS = "NotEnoughFreeGpus"
    NOT_ENOUGH_GPUS_PER_NODE = "NotEnoughGpusPerNode"
    PRODUCT_NOT_WANTED = "ProductNotWanted"
    NODE_SELECTOR_MISMATCH = "NodeSelectorMismatch"
    TAINT_NOT_TOLERATED = "TaintNotTolerated"
    OVER_BUDGET = "OverBudget"
    OVER_GPU_LIMIT = "OverGpuLimit"
    PINNED_OTHERWISE = "PinnedOtherwise"
    ENGINE_DOES_NOT_SUPPORT_VENDOR = "EngineDoesNotSupportVendor"
    SLOWER = "Slower"

    # The plan
    PLANNED = "Planned"
    NO_LAYOUT = "NoLayout"
    WAITING_FOR_GPUS = "WaitingForGpus"
    NODE_LOST = "NodeLost"
    BETTER_LAYOUT_KNOWN = "BetterLayoutKnown"
    BEST_LAYOUT_RUNS = "BestLayoutRuns"

    # What runs
    ALL_REPLICAS_READY = "AllReplicasReady"
    SOME_REPLICAS_READY = "SomeReplicasReady"
    NO_REPLICA_READY = "NoReplicaReady"
    REPLICAS_STARTING = "ReplicasStarting"
    ROLLING_OUT = "RollingOut"
    STABLE = "Stable"
    SUSPENDED = "Suspended"
    SCALED_TO_ZERO = "ScaledToZero"
    POD_NOT_READY = "PodNotReady"
    POD_UNSCHEDULABLE = "PodUnschedulable"
    POD_RESTARTED = "PodRestarted"
    POD_LOST = "PodLost"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    OUT_OF_MEMORY = "OutOfMemory"
    CRASH_LOOP = "CrashLoop"
    RESTART_BUDGET_SPENT = "RestartBudgetSpent"
    APPLY_REFUSED = "ApplyRefused"
    INTERNAL_ERROR = "InternalError"

    # Scaling
    AUTOSCALING_MANAGED = "AutoscalingManaged"
    AUTOSCALING_EXTERNAL = "AutoscalingExternal"
    AUTOSCALING_DISABLED = "AutoscalingDisabled"
    METRICS_UNAVAILABLE = "MetricsUnavailable"

"""What says that a node is about to go, as data. A cordon is no part of it: that says only that nothing new may come.

Effects do not matter here: some controllers write NoSchedule, others NoExecute. Hints that a node may go one day (the
cluster autoscaler's DeletionCandidateOfClusterAutoscaler, a spot market's rebalance recommendation) are left out.
"""

DISRUPTION_TAINTS = {
    "ToBeDeletedByClusterAutoscaler": "the cluster autoscaler removes the node",
    "karpenter.sh/disrupted": "Karpenter removes the node",
    "karpenter.sh/disruption": "Karpenter before 1.0 removes the node",
    "node.kubernetes.io/out-of-service": "an administrator says that the node is down for good",
    "node.cloudprovider.kubernetes.io/shutdown": "the cloud provider has shut the machine down",
    "cloud.google.com/impending-node-termination": "GKE ends the machine soon, for maintenance or as a spot machine",
    "aws-node-termination-handler/spot-itn": "AWS takes the spot machine back",
    "aws-node-termination-handler/scheduled-maintenance": "AWS has scheduled maintenance of the machine",
    "aws-node-termination-handler/asg-lifecycle-termination": "an AWS auto scaling group ends the machine",
}
"""Taint key -> what its writer means by it."""

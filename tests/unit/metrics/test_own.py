"""The operator's own figures: what is counted, and that no label can grow."""

from prometheus_client.parser import text_string_to_metric_families

from shardwright.metrics.own import OperatorMetrics


def values(metrics):
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def test_what_happens_is_counted():
    metrics = OperatorMetrics()
    metrics.reconciled("done", 0.01)
    metrics.reconciled("done", 0.02)
    metrics.decided(0.003)
    metrics.queue(7)
    metrics.requested("apply", "StatefulSet", 200, 0.01)
    metrics.requested("apply", "StatefulSet", 409, 0.01)
    metrics.requested("get", "Pod", 0, 0.01)
    metrics.warned("NoLayout")
    metrics.external_metric(503)
    seen = values(metrics)
    assert seen["shardwright_reconciles_total", ("result", "done")] == 2
    assert seen["shardwright_queue_keys",] == 7
    assert seen["shardwright_decide_seconds_count",] == 1
    requests = "shardwright_api_requests_total"
    assert seen[requests, ("kind", "StatefulSet"), ("status", "2xx"), ("verb", "apply")] == 1
    assert seen[requests, ("kind", "StatefulSet"), ("status", "4xx"), ("verb", "apply")] == 1
    assert seen[requests, ("kind", "Pod"), ("status", "none"), ("verb", "get")] == 1
    assert seen["shardwright_warnings_total", ("reason", "NoLayout")] == 1
    assert seen["shardwright_external_metric_requests_total", ("answer", "5xx")] == 1


def test_words_that_nobody_listed_are_one_series():
    metrics = OperatorMetrics()
    for number in range(1000):
        metrics.reconciled(f"result-{number}", 0.1)
        metrics.requested(f"verb-{number}", f"Kind{number}", number, 0.1)
        metrics.warned(f"reason-{number}")
    assert len(values(metrics)) < 200


def test_two_of_them_do_not_share_anything():
    first, second = OperatorMetrics(), OperatorMetrics()
    first.queue(5)
    assert values(second)["shardwright_queue_keys",] == 0

"""Whatever a container says at its end: a diagnosis never raises, and never tells what nobody said."""

from hypothesis import given
from hypothesis import strategies as st

from shardwright.api.reasons import Reason
from shardwright.catalog.failures import failure_reasons, failures
from shardwright.status import observe_pod
from shardwright.status.diagnosis import MAX_LINE, Ending, diagnose

QUIET = st.text(alphabet=st.characters(codec="utf-8", exclude_characters=":"), max_size=60)
words = st.lists(
    QUIET | st.sampled_from(["CUDA out of memory", "Connection reset by peer", "Planned: x", ": "]), max_size=5
)
endings = st.builds(
    Ending,
    container=st.just("engine"),
    exit_code=st.none() | st.integers(0, 255),
    kubelet=st.sampled_from(["", "Error", "Completed", "OOMKilled", "Evicted", "Odd"]),
    message=words.map("\n".join),
    seconds=st.none() | st.floats(-10, 1e6),
    was_ready=st.booleans(),
    startup_seconds=st.integers(0, 3600),
)


@given(endings)
def test_a_diagnosis_rests_on_what_was_said_or_seen(ending):
    found = diagnose(ending)
    assert found.do
    assert len(found.line) <= MAX_LINE
    if found.reason in (Reason.ENGINE_FAILED, Reason.STARTUP_TIMEOUT, Reason.NOT_ALIVE):
        return
    rows = [row for row in failures() if row.reason is found.reason]
    told = found.line.rstrip("…") in ending.message and bool(found.line)
    seen = any(ending.kubelet in row.kubelet or ending.exit_code in row.exit for row in rows)
    assert told or seen, found


@given(words, st.sampled_from(sorted(failure_reasons())))
def test_the_first_row_that_fits_does_not_depend_on_lines_that_say_nothing(more, reason):
    row = failure_reasons()[reason]
    quiet = [line for line in more if diagnose(Ending(exit_code=1, message=line)).reason is Reason.ENGINE_FAILED]
    if not row.says or not quiet:
        return
    alone = diagnose(Ending(exit_code=1, message="\n".join(quiet)))
    assert alone.reason is Reason.ENGINE_FAILED


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["state", "lastState", "terminated", "waiting", "reason", "message", "exitCode", "finishedAt"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(odd, odd, odd, st.sampled_from(["Failed", "Running", None, 3]))
def test_an_odd_status_is_read_without_an_error(containers, inits, conditions, phase):
    status = {"phase": phase, "containerStatuses": containers, "initContainerStatuses": inits, "conditions": conditions}
    observe_pod({"metadata": {}, "status": status, "spec": {"containers": containers}})

"""Breaks of what holds under hostile input: see catalogue.py."""

from tests.sim.mutants.surgery import Edit
from tests.teeth.shape import Break

_BROKER = "raftwork.broker"
_QUEUE = "raftwork.broker.machine"
_FEATURES = "raftwork.features"
_WORKER = "raftwork.worker"

_FRAMES = (
    Break(
        "unreadable frames not answered",
        (
            Edit(
                f"{_BROKER}.node:Node.receive",
                "self._reply(routing, Refused(0, Code.PROTOCOL, str(error)))",
                "pass",
            ),
        ),
        ("test_a_malformed_frame_is_refused",),
    ),
    Break(
        "a message of several parts taken for one",
        (
            Edit(
                f"{_BROKER}.net.transport:Transport.from_anyone",
                "elif len(parts) == 2:",
                "elif True:",
            ),
        ),
        ("test_several_parts_are_no_message",),
    ),
    Break(
        "the rest of a message of very many parts taken for another",
        (Edit(f"{_BROKER}.net.transport:Transport.from_anyone", "if not parts:", "if False:"),),
        (
            "test_garbage_before_a_hello_is_harmless",
            "test_a_message_of_very_many_parts_stops_nobody",
        ),
    ),
    Break(
        "nobody cut off",
        (
            Edit(
                f"{_BROKER}.net.protocol_violations:ProtocolViolations.suspect",
                "return routing in self._closed or",
                "return False and",
            ),
        ),
        (
            "test_who_sends_one_malformed_frame_after_another_is_cut_off",
            "test_who_asks_and_hardly_reads_is_cut_off",
        ),
    ),
    Break(
        "a name may be taken over",
        (
            Edit(
                f"{_BROKER}.net.transport:Transport._bind",
                "router.setsockopt(zmq.ROUTER_MANDATORY, 1)",
                "router.setsockopt(zmq.ROUTER_MANDATORY, 1), "
                "router.setsockopt(zmq.ROUTER_HANDOVER, 1)",
            ),
        ),
        ("test_a_name_in_use_cannot_be_taken_over",),
    ),
    Break(
        "ids are counted from where everybody does",
        (Edit(f"{_BROKER}.net.socket_options:unpredictable_ids", "secrets.randbits(32)", "1"),),
        ("test_an_id_that_somebody_claimed_ends_nobody_when_its_turn_comes",),
    ),
    Break(
        "both directions shut down",
        (
            Edit(
                f"{_BROKER}.net.protocol_violations:read_no_more",
                "tcp.shutdown(socket.SHUT_RD)",
                "tcp.shutdown(socket.SHUT_RDWR)",
            ),
        ),
        ("test_who_is_cut_off_with_pings_under_way_ends_nobody",),
    ),
    Break(
        "a name is closed, not a connection",
        (
            Edit(
                f"{_BROKER}.net.protocol_violations:ProtocolViolations.comes_again",
                "if remote is None or self._closed.get(routing, remote) == remote:",
                "if True:",
            ),
        ),
        ("test_who_was_cut_off_is_heard_when_it_comes_again_under_its_name",),
    ),
    Break(
        "a connection that is cut off stays open here",
        (
            Edit(
                f"{_BROKER}.net.protocol_violations:read_no_more",
                "tcp.shutdown(socket.SHUT_RD)",
                "tcp.shutdown(socket.SHUT_RD), tcp.detach()",
            ),
        ),
        ("test_cutting_off_leaves_no_descriptor_open",),
    ),
    Break(
        "any bytes taken for ZeroMQ",
        (
            Edit(
                f"{_BROKER}.net.transport:Transport._bind",
                "router.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)",
                "pass",
            ),
        ),
        ("test_bytes_that_pass_for_the_oldest_zeromq_are_no_client_either",),
    ),
    Break(
        "frames of any size read",
        (
            Edit(
                f"{_BROKER}.net.transport:Transport._bind",
                "router.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)",
                "router.setsockopt(zmq.MAXMSGSIZE, -1)",
            ),
        ),
        ("test_a_frame_over_the_limit_is_cut_off_unread",),
    ),
    Break(
        "payloads of any size taken",
        (
            Edit(
                f"{_FEATURES}.task_batch:read_tasks",
                "if (largest := max(map(len, payloads))) > settings.payload_bytes:",
                "if (largest := 0):",
            ),
        ),
        ("test_what_breaks_the_limits_inside_a_good_frame_is_refused",),
    ),
    Break(
        "any number of ids may be asked for",
        (
            Edit(
                "raftwork.broker.requests.request_processor:RequestProcessor.request",
                "if wrong is not None:",
                "if False:",
            ),
        ),
        ("test_asking_for_too_much_is_refused",),
    ),
    Break(
        "a worker's frame believed without a session",
        (
            Edit(
                f"{_BROKER}.workers.registry:WorkerRegistry._session",
                "if worker is None or worker.session != session:",
                "if False:",
            ),
            Edit(
                f"{_BROKER}.node:Node._worker_frame",
                "known and leadership.workers.receive",
                "leadership.workers.receive",
            ),
        ),
        ("test_a_stranger_that_claims_to_be_a_peer_or_a_worker_changes_nothing",),
    ),
    Break(
        "what a newer release left in the log is skipped",
        (
            Edit(
                f"{_QUEUE}.machine:Machine.apply",
                "except BadMessage as error:",
                "except BadMessage as error:\n        return Applied([], [])",
            ),
        ),
        ("test_what_only_a_newer_release_knows_ends_a_broker_before_it_is_applied",),
    ),
    Break(
        "fields that only a newer release knows are dropped from entries",
        (Edit("raftwork.record_checks:_array", "    if strict:", "    if False:"),),
        ("test_what_only_a_newer_release_knows_ends_a_broker_before_it_is_applied",),
    ),
    Break(
        "a newer client's requests count as violations",
        (Edit(f"{_BROKER}.node:Node.receive", "except NewerMessage", "except ZeroDivisionError"),),
        ("test_requests_of_a_newer_client_are_refused_one_by_one_and_it_is_not_cut_off",),
    ),
    Break(
        "any protocol version spoken",
        (Edit(f"{_BROKER}.node:Node._speaks", "if wrong is not None:", "if False:"),),
        ("test_a_wrong_version_is_refused_at_the_hello",),
    ),
    Break(
        "fields of another type are an error nobody expects",
        (
            Edit(
                "raftwork.record_checks:_field",
                "raise BadMessage('an integer",
                "raise KeyError('an integer",
            ),
        ),
        ("test_thousands_of_random_frames_change_nothing",),
    ),
)

_BROKERS = (
    Break(
        "a frame that is none ends a broker",
        (Edit(f"{_BROKER}.node:Node.receive", "except BadMessage", "except ZeroDivisionError"),),
        ("test_a_cluster_under_attack_works_on_stays_small_and_keeps_its_state",),
    ),
    Break(
        "a frame that is none ends a worker",
        (Edit(f"{_WORKER}.main:Worker._read", "except BadMessage", "except ZeroDivisionError"),),
        ("test_a_worker_outlives_a_broker_that_says_anything_and_works_for_an_honest_one",),
    ),
    Break(
        "a worker takes tasks of any size",
        (
            Edit(
                f"{_WORKER}.agent:Agent._accept",
                "room <= 0 or len(task.payload) > PAYLOAD_MAX",
                "room <= 0",
            ),
        ),
        ("test_a_worker_takes_no_more_and_nothing_larger_than_a_leader_would_push",),
    ),
    Break(
        "who libzmq has given up is not asked again",
        (Edit("raftwork.net.reconnects:Reconnects.due", "if now >= at", "if False"),),
        (
            "test_a_worker_outlives_a_broker_that_says_anything_and_works_for_an_honest_one",
            "test_a_program_that_had_a_brokers_port_for_a_while_cuts_nobody_off_from_it",
        ),
    ),
)

HOSTILE = (*_FRAMES, *_BROKERS)

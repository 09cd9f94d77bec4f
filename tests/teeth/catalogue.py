"""What each test over real processes promises, broken on purpose: `make teeth` sees the test fail.

A new test needs its name in `tests` of a break here; a break is a replacement of text in one
function, class or module of the product (tests/teeth/breaking.py).
"""

import ast
from pathlib import Path

from tests.sim.mutants.surgery import Edit
from tests.teeth.disks import DISKS
from tests.teeth.hostile import HOSTILE
from tests.teeth.keys import KEYS
from tests.teeth.killed_workers import KILLED_WORKERS
from tests.teeth.schedules import SCHEDULES
from tests.teeth.shape import Break

ROOT = Path(__file__).parents[2]

_BROKER, _QUEUE, _STORE = "raftwork.broker", "raftwork.broker.machine", "raftwork.broker.store"
_FEATURES = "raftwork.features"
_WORKER, _CLIENT, _CLI = "raftwork.worker", "raftwork.client", "raftwork.cli"
_RAFT = "raftwork.consensus.raft"


def cluster_tests() -> dict[str, Path]:
    """Every test over real processes, with its file."""
    return {
        node.name: path
        for path in sorted((ROOT / "tests/cluster").glob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


#: Tests that nothing in the product can break, and why.
WITHOUT = {
    "test_the_two_commands_are_the_first_the_readme_shows": "it reads the README, no code",
    "test_bytes_that_are_not_even_zeromq_are_dropped": "libzmq drops them before any code of ours",
    "test_a_reset_with_pings_under_way_ends_nobody": "it fails as it is, as long as libzmq does",
}

_DURABILITY = (
    Break(
        "acknowledged on arrival",
        (
            Edit(
                f"{_BROKER}.requests.request_processor:RequestProcessor._take",
                "self.changes.append(_wanted((asked, change)))",
                "self.changes.append(_wanted((asked, change)))\n"
                "            answer = rule.answer(self.view, asked.request, Done())\n"
                "            self._frames.append((asked.key[0], answer))",
            ),
        ),
        ("test_nothing_acknowledged_is_lost_when_the_leader_is_killed_under_load",),
    ),
    Break(
        "commits stay in memory for a while",
        (
            Edit(
                f"{_STORE}.generation:Generation.begin",
                'self.connection.execute("BEGIN")',
                'if not self.connection.in_transaction:\n        self.connection.execute("BEGIN")',
            ),
            Edit(
                f"{_STORE}.generation:Generation.begin",
                "if sync != self.synced:",
                "if sync != self.synced and not self.connection.in_transaction:",
            ),
            Edit(
                f"{_STORE}.generation:Generation.commit",
                'connection.execute("COMMIT")',
                'if meta.turn % 100 < 3:\n        connection.execute("COMMIT")',
            ),
            Edit(
                f"{_STORE}.generation:Generation.commit",
                "if wrote and self.synced:",
                "if False:",
            ),
            Edit(
                f"{_STORE}.generation:Generation._verify",
                "if self.meta.turn < self._promised.turn:",
                "if False:",
            ),
        ),
        (
            "test_every_acknowledged_task_survives_the_death_of_all_brokers",
            "test_one_broker_is_a_cluster_and_keeps_its_word",
        ),
    ),
    Break(
        "a majority is everybody",
        (Edit("raftwork.consensus.quorum:majority", "return size // 2 + 1", "return size"),),
        ("test_a_killed_follower_is_not_missed_and_catches_up",),
    ),
    Break(
        "contents of a known id not compared",
        (
            Edit(
                f"{_FEATURES}.enqueue:new_rows",
                "elif known[task] != crc and",
                "elif False and",
            ),
        ),
        ("test_enqueueing_again_after_a_failover_changes_nothing",),
    ),
)

_NO_EARLY_SIGNALS = Edit(f"{_CLI}.signals:leave_when_told", "(signal.SIGTERM, signal.SIGINT)", "()")
_LEADERSHIP = (
    Break(
        "the events of the entry that was read last are told again",
        (
            Edit(
                f"{_BROKER}.event_ring:read_events",
                "read = after.n if after[:2] == (epoch, seq) else 0",
                "read = 0",
            ),
        ),
        ("test_who_follows_events_misses_none_and_reads_none_twice_when_the_leader_is_killed",),
    ),
    Break(
        "a deposed leader goes on",
        (Edit(f"{_BROKER}.node:Node.deactivated", "self._supervisor.end()", "pass"),),
        ("test_a_leader_that_was_paused_until_deposed_follows_when_it_wakes",),
    ),
    Break(
        "a leader without a majority stays",
        (
            Edit(
                f"{_RAFT}.election:check_quorum",
                "node.follow(node.term, None, Cause.NO_MAJORITY)",
                "pass",
            ),
        ),
        ("test_without_a_majority_enqueueing_is_unavailable_and_says_who_answered_what",),
    ),
    Break(
        "Unavailable does not say which ids",
        (
            Edit(
                f"{_CLIENT}.requests:Requests._expire",
                "Unavailable(text, call.ids)",
                "Unavailable(text)",
            ),
        ),
        ("test_without_a_majority_enqueueing_is_unavailable_and_says_who_answered_what",),
    ),
    Break(
        "leadership not handed over",
        (Edit(f"{_BROKER}.node:Node.hand_over", "self._replica.core.transfer(now)", "pass"),),
        ("test_a_leader_told_to_stop_hands_over_first",),
    ),
    Break(
        "pid file left behind",
        (Edit(f"{_BROKER}.server:_serve", "pid_file.unlink()", "pass"),),
        ("test_a_leader_told_to_stop_hands_over_first",),
    ),
    Break(
        "pid file without its newline",
        (Edit(f"{_BROKER}.server:_serve", 'f"{os.getpid()}\\n"', 'f"{os.getpid()}"'),),
        ("test_a_kill_leaves_the_pid_file",),
    ),
    Break(
        "a stop waits for a leader, however long",
        (
            Edit(
                f"{_BROKER}.server:Server._stopped",
                "return not self._node.leads or time.monotonic() > stop_by",
                'return self._node.status(0).leader not in ("", self._node.status(0).name)',
            ),
        ),
        ("test_a_broker_stops_within_five_seconds_without_a_majority",),
    ),
    Break(
        "it listens before it heeds signals",
        (
            Edit(
                f"{_BROKER}.server:_serve",
                "server = Server(",
                'say("listening")\n        time.sleep(0.2)\n        server = Server(',
            ),
            _NO_EARLY_SIGNALS,
        ),
        ("test_a_broker_may_be_told_to_stop_as_soon_as_it_listens",),
    ),
    Break(
        "signals not heeded before it serves",
        (_NO_EARLY_SIGNALS,),
        ("test_a_worker_told_to_stop_while_it_imports_its_tasks_exits_0",),
    ),
)

_DIRECTORIES = (
    Break(
        "a learner never counts again",
        (
            Edit(
                f"{_RAFT}.replication:_rebind",
                "and peer.match >= leader.commit_at_heartbeat",
                "and False",
            ),
        ),
        (
            "test_an_emptied_broker_comes_back_as_a_learner_and_then_counts_again",
            "test_an_emptied_leader_comes_back_as_a_learner_and_then_counts_again",
        ),
    ),
    Break(
        "snapshots leave the tasks out",
        (
            Edit(
                f"{_STORE}.snapshots:_copy",
                "for name in tables:",
                'for name in set(tables) - {"task"}:',
            ),
        ),
        ("test_a_broker_that_the_log_no_longer_reaches_catches_up_by_snapshot",),
    ),
    Break(
        "a majority of blank brokers forms a cluster",
        (
            Edit("raftwork.broker.cluster.formation:Formation.roster", "if any(", "if 1 < sum("),
            Edit(
                "raftwork.broker.cluster.formation:Formation.roster",
                "self._blank[name][0] for name",
                'self._blank.get(name, (b"x" * 16, 0))[0] for name',
            ),
        ),
        ("test_two_emptied_brokers_never_form_a_cluster_without_the_third",),
    ),
    Break(
        "promised turn not checked",
        (
            Edit(
                f"{_STORE}.generation:Generation._verify",
                "if self.meta.turn < self._promised.turn:",
                "if False:",
            ),
        ),
        ("test_a_bit_flipped_in_the_write_ahead_log_is_noticed_and_cured",),
    ),
    Break(
        "no page checksums",
        (
            Edit(
                f"{_CLI}.broker:command",
                '"--checksums/--no-checksums",\n    default=True',
                '"--checksums/--no-checksums",\n    default=False',
            ),
        ),
        ("test_a_bit_flipped_in_a_task_is_noticed_when_it_is_next_written",),
    ),
    Break(
        "damage taken for a failing disk",
        (
            Edit(
                f"{_STORE}.storage_errors:as_database_error",
                'return StoreDamaged(f"the database contradicts',
                'return StoreError(f"the database contradicts',
            ),
        ),
        ("test_a_bit_flipped_in_the_database_is_noticed_and_cured",),
    ),
    Break(
        "other addresses taken on unasked",
        (Edit(f"{_STORE}.identity:admit", "if strange and not readdress:", "if False:"),),
        ("test_other_addresses_are_taken_on_only_when_asked",),
    ),
    Break(
        "other clusters' brokers not refused",
        (
            Edit(
                f"{_BROKER}.cluster.peers:Peers.objection",
                "if hello.cluster_id and cluster_id and hello.cluster_id != cluster_id:",
                "if False:",
            ),
        ),
        ("test_a_directory_of_another_cluster_at_these_addresses_is_refused",),
    ),
    Break(
        "a directory's name and protocol not checked",
        (Edit(f"{_STORE}.identity:admit", "if held != wanted:", "if False:"),),
        (
            "test_a_directory_that_is_not_this_brokers_is_refused",
            "test_a_directory_keeps_to_its_protocol",
        ),
    ),
)

_COMMANDS = (
    Break(
        "announced without its name",
        (Edit(f"{_BROKER}.server:_serve", "listening {config.name} ", "listening "),),
        ("test_a_broker_announces_itself_and_runs_until_told",),
    ),
    Break(
        "brokers speak IPv4 only",
        (
            Edit(
                f"{_BROKER}.net.transport:Transport._bind",
                'int(address.startswith("["))',
                "0",
            ),
        ),
        ("test_everything_speaks_ipv6",),
    ),
    Break(
        "a broker's name not looked for in its cluster",
        (
            Edit(
                f"{_BROKER}.options:BrokerConfig.__post_init__",
                "if self.name not in self.cluster:",
                "if False:",
            ),
        ),
        ("test_a_broker_with_wrong_flags_exits_2_and_says_why",),
    ),
    Break(
        "errors of the system shown as tracebacks",
        (
            Edit(
                f"{_CLI}.broker:_run",
                "except OSError as error:",
                "except KeyError as error:",
            ),
        ),
        ("test_a_broker_whose_port_is_taken_exits_1_and_names_it",),
    ),
    Break(
        "enqueue prints a handle",
        (Edit(f"{_CLI}.enqueue:command", "out(run.id)", "out(str(run))"),),
        ("test_enqueue_prints_the_id_and_result_the_value",),
    ),
    Break(
        "arguments are text",
        (Edit(f"{_CLI}.values:parse_argument", "return parse_json(text)", "return text"),),
        ("test_an_argument_is_json_if_it_parses_else_a_string",),
    ),
    Break(
        "a failure without its traceback",
        (Edit(f"{_CLI}.result:_failure", "error.traceback.rstrip() or str(error)", "str(error)"),),
        ("test_a_failure_goes_to_stderr_with_its_traceback",),
    ),
    Break(
        "no result is a success",
        (Edit(f"{_CLI}.result:NoValue.__init__", "super().__init__(1)", "super().__init__(0)"),),
        ("test_what_has_no_result_yet_says_its_state",),
    ),
    Break(
        "wrong usage is a failed operation",
        (Edit(f"{_CLI}.values:usage", "click.UsageError", "click.ClickException"),),
        ("test_wrong_usage_exits_2_on_stderr",),
    ),
    Break(
        "a wrong environment not named",
        (
            Edit(
                f"{_CLIENT}.addresses:broker_addresses",
                'f"RAFTWORK_BROKERS: {error}"',
                "str(error)",
            ),
        ),
        ("test_an_environment_that_names_no_address_is_wrong_usage",),
    ),
    Break(
        "nobody says which brokers were asked",
        (Edit(f"{_CLIENT}.leader_discovery:Brokers.report", "return ", 'return "" and '),),
        ("test_without_brokers_commands_exit_1_and_say_who_was_asked",),
    ),
    Break(
        "anything is an App",
        (
            Edit(
                f"{_WORKER}.loader:load",
                "if not fitting:",
                "if False:",
            ),
        ),
        ("test_a_worker_without_an_app_exits_1_and_says_why",),
    ),
    Break(
        "the current directory is not on the path",
        (Edit(f"{_WORKER}.loader:place_first", "sys.path.insert(0, os.getcwd())", "pass"),),
        ("test_a_worker_finds_its_module_in_the_current_directory",),
    ),
    Break(
        "unreachable brokers called something else",
        (Edit(f"{_CLIENT}.overview:_broker", '"unreachable"', '"gone"'),),
        ("test_status_shows_brokers_workers_and_queues",),
    ),
    Break(
        "help without examples",
        (
            Edit(
                f"{_CLI}:_Commands.invoke",
                "return super()",
                "for each in self.commands.values():\n"
                "            each.help = (each.help or '').partition('Example')[0]\n"
                "        return super()",
            ),
        ),
        ("test_every_command_explains_itself_with_an_example",),
    ),
    Break(
        "the demo leaves its directory",
        (Edit(f"{_CLI}.demo:command", "shutil.rmtree(directory)", "pass"),),
        ("test_the_demo_loses_nothing_and_leaves_nothing_behind",),
    ),
    Break(
        "a demo of any size",
        (Edit(f"{_CLI}.demo:command", "click.IntRange(min=20)", "click.IntRange(min=1)"),),
        ("test_a_demo_that_could_show_nothing_is_refused",),
    ),
    Break(
        "tasks are called without their module",
        (
            Edit(
                f"{_CLIENT}.task_names:default_name",
                """return f"{str(module).removesuffix('.__main__')}.{name}\"""",
                "return str(name)",
            ),
        ),
        (
            "test_the_quick_start_works_as_printed_and_so_does_what_it_says_can_be_killed",
            "test_one_command_runs_the_module_of_the_quick_start",
            "test_the_example_runs",
            "test_the_tutorial_works_as_printed",
        ),
    ),
    Break(
        "a flag of the README renamed",
        (Edit(f"{_CLI}.broker:command", '"--data",', '"--dir",'),),
        ("test_the_readmes_broker_flags_are_understood",),
    ),
    Break(
        "benchmarks rely on where they are started",
        (Edit("bench.harness:cluster", '{"PYTHONPATH": path} | (env or {})', "env or {}"),),
        ("test_a_benchmarks_workers_find_their_tasks_wherever_it_is_started",),
    ),
)

_WORKERS = (
    Break(
        "coroutines not awaited",
        (Edit(f"{_WORKER}.runner:Runner.run", "if inspect.iscoroutine(value):", "if False:"),),
        ("test_every_pool_runs_every_kind_of_task",),
    ),
    Break(
        "a silent worker keeps its tasks",
        (
            Edit(
                f"{_BROKER}.workers.registry:WorkerRegistry._check_lease",
                "if now > worker.deadline:",
                "if False:",
            ),
        ),
        (
            "test_a_task_of_a_killed_worker_runs_again_under_a_greater_token",
            "test_the_late_result_of_a_worker_that_was_paused_is_refused",
            "test_the_demo_loses_nothing_and_leaves_nothing_behind",
        ),
    ),
    Break(
        "a lease that is set is not kept",
        (
            Edit(
                f"{_BROKER}.workers.registry:WorkerRegistry._session",
                "now + self.settings.worker_lease",
                "now + 3_000",
            ),
        ),
        ("test_a_longer_lease_outlives_the_leader_and_a_silent_worker_keeps_its_task",),
    ),
    Break(
        "election times that are set are not kept",
        (
            Edit(
                f"{_BROKER}.election_times:ElectionTimes.keep",
                "core.retime(*self.timing, now)",
                "pass",
            ),
        ),
        ("test_a_leader_that_hangs_is_missed_after_the_election_timeout_that_is_set",),
    ),
    Break(
        "tokens used again",
        (
            Edit(
                f"{_QUEUE}.attempts:_requeue",
                "for run in runs:\n",
                "for run in runs:\n        ledger.token -= 1\n",
            ),
        ),
        ("test_a_task_of_a_killed_worker_runs_again_under_a_greater_token",),
    ),
    Break(
        "late results accepted under their old tokens",
        (
            Edit(f"{_WORKER}.agent:Agent._opened", "self._drop(stop)", "pass"),
            Edit(
                f"{_BROKER}.workers.reports:Reports.settle_hello",
                "(worker.acks if held is Held.DONE else stop).append(token)",
                "pass",
            ),
            Edit(
                f"{_BROKER}.workers.reports:Reports._is_news",
                "if assignment is None:\n",
                "if assignment is None:\n        return True\n    if assignment is None:\n",
            ),
            Edit(
                f"{_QUEUE}.state:Ledger.end",
                "run = self.running.pop(token, None)\n",
                "run, old = self.running.pop(token, None), self.__dict__.setdefault('old', {})\n"
                "    if run is None:\n        return old.get(token)\n"
                "    old[token] = run\n",
            ),
        ),
        ("test_the_late_result_of_a_worker_that_was_paused_is_refused",),
    ),
    Break(
        "at-most-once tasks handed out again",
        (Edit(f"{_QUEUE}.attempts:_too_many", "spec.at_most_once or ", ""),),
        ("test_a_task_that_may_run_once_is_lost_with_its_worker_and_never_run_again",),
    ),
    Break(
        "a draining worker does not finish what runs",
        (
            Edit(
                f"{_WORKER}.agent:Agent.turn",
                "not self._withdraw and not self._held and not self._done",
                "not self._withdraw and not self._done",
            ),
        ),
        (
            "test_a_worker_told_to_stop_finishes_what_runs_and_hands_back_the_rest",
            "test_a_drained_worker_finishes_what_runs_and_hands_back_the_rest",
            "test_a_rolling_restart_of_all_workers_loses_nothing_and_runs_nothing_twice",
        ),
    ),
    Break(
        "a second signal not heeded",
        (Edit(f"{_WORKER}.main:Worker._heed", "if self._heeded > 1:", "if False:"),),
        ("test_a_second_signal_stops_a_worker_at_once_and_its_task_goes_back",),
    ),
    Break(
        "workers do not watch time limits",
        (
            Edit(
                f"{_WORKER}.agent:Agent._enforce_limits",
                "if limit and now >= since + limit:",
                "if False:",
            ),
        ),
        ("test_a_task_over_its_time_limit_fails_and_frees_its_slot",),
    ),
    Break(
        "a worker waits for code that cannot be stopped",
        (Edit(f"{_WORKER}.run:_run_async", "farewell.start()", "pass"),),
        ("test_code_that_cannot_be_stopped_keeps_no_worker_from_stopping",),
    ),
    Break(
        "tasks enqueue at the default brokers",
        (Edit(f"{_CLI}.worker:_run", "app.brokers = addresses", "pass"),),
        ("test_a_task_enqueues_where_its_worker_gets_its_work",),
    ),
    Break(
        "pauses do not grow",
        (
            Edit(
                f"{_BROKER}.workers.retry_backoff:_asked",
                "spec.backoff << min(failures, 32)",
                "spec.backoff",
            ),
        ),
        ("test_a_failing_task_is_retried_with_growing_pauses",),
    ),
    Break(
        "an attempt does not find what the last one left",
        (Edit(f"{_QUEUE}.queries:about", "if flags & CHECKPOINTED else", "if False else"),),
        ("test_what_an_attempt_left_outlives_its_worker_and_the_leader",),
    ),
    Break(
        "failures not counted",
        (Edit(f"{_QUEUE}.attempts:_failed", "failures=run.failures + 1", "failures=run.failures"),),
        ("test_a_task_that_keeps_failing_fails_with_its_last_error",),
    ),
    Break(
        "dead processes of a pool not replaced",
        (
            Edit(
                f"{_WORKER}.pool.process:ProcessPool._replace",
                "if not child.present and now >= child.restart_at:",
                "if not child.present and not child.started_at:",
            ),
        ),
        ("test_a_task_that_kills_its_process_does_not_take_the_worker_with_it",),
    ),
    Break(
        "any worker serves any queue",
        (
            Edit(
                f"{_BROKER}.dispatch.dispatcher:Dispatcher._able",
                "if queue in w.queues and w.incarnation not in excluded",
                "if w.incarnation not in excluded",
            ),
            Edit(
                f"{_BROKER}.dispatch.dispatcher:Dispatcher._waiting_queues",
                " if queue in served",
                "",
            ),
        ),
        ("test_a_worker_serves_only_its_queues",),
    ),
    Break(
        "an unknown task is just an error",
        (
            Edit(
                f"{_WORKER}.runner:Runner._call",
                "raise UnknownFunction(_unknown(name, self._registry))",
                "raise KeyError(name)",
            ),
        ),
        ("test_an_unknown_task_name_fails_and_says_what_the_worker_knows",),
    ),
    Break(
        "a worker that does not know a task fails it for all",
        (
            Edit(
                f"{_BROKER}.workers.attribution:Attribution.unregistered_task",
                "if running is None:",
                "if True:",
            ),
        ),
        ("test_a_task_goes_to_a_worker_that_knows_it",),
    ),
    Break(
        "a bad worker is given its share",
        (
            Edit(
                f"{_BROKER}.workers.circuit_breaker:CircuitBreaker.failed",
                "if self.lost + self.unknown >= FAILURES:",
                "if False:",
            ),
        ),
        ("test_a_worker_under_which_tasks_are_lost_rests_until_it_is_well",),
    ),
    Break(
        "a worker that rests is never tried",
        (
            Edit(
                f"{_BROKER}.workers.circuit_breaker:CircuitBreaker.pass_time",
                "if not self.is_open or now < self.due:",
                "if True:",
            ),
        ),
        ("test_a_worker_under_which_tasks_are_lost_rests_until_it_is_well",),
    ),
    Break(
        "a lost task goes back to where it was lost",
        (
            Edit(
                f"{_BROKER}.placement.eligibility:Eligibility.split",
                "if task.losses and (lost := self._lost.get(task.seq)):",
                "if False:",
            ),
        ),
        ("test_a_task_that_was_lost_waits_for_another_worker",),
    ),
    Break(
        "a process that does not start counts as a slot",
        (
            Edit(
                f"{_WORKER}.pool.process:_Child.starts",
                "self.failed_starts < _FAILED_STARTS_MAX and not",
                "not",
            ),
        ),
        ("test_a_worker_whose_processes_do_not_start_gets_nothing_until_they_do",),
    ),
    Break(
        "a task waits for ever for a worker that knows it",
        (
            Edit(
                f"{_BROKER}.placement.eligibility:Eligibility._excluded",
                "if self._has_other_worker(queue, lacking, wait_for_absent=True):",
                "if True:",
            ),
        ),
        ("test_a_task_that_no_worker_knows_fails_at_every_one_of_them",),
    ),
    Break(
        "a new leader undoes a drain",
        (
            Edit(
                f"{_WORKER}.agent:Agent._opened",
                "self._drop(stop)",
                "self._drop(stop)\n    self._draining = False",
            ),
        ),
        ("test_a_draining_worker_drains_under_the_next_leader_too",),
    ),
    Break(
        "a worker nobody has is drained",
        (
            Edit(
                f"{_FEATURES}.drain:_drain",
                "raise UnknownWorker(_unknown(view, request.name))",
                "return WorkerDraining(request.request)",
            ),
        ),
        ("test_a_name_that_no_worker_has_is_an_error_that_names_the_others",),
    ),
    Break(
        "a worker that was killed counts as drained",
        (Edit(f"{_CLI}.drain:_Watch.until_it_has_left", "if self._any_lost:", "if False:"),),
        ("test_waiting_for_a_worker_that_is_killed_meanwhile_says_so",),
    ),
)

_PREVENTION = (
    Break(
        "priority inverted after a failover",
        (
            Edit(
                f"{_BROKER}.dispatch.queue_backlog:QueueBacklog.__init__",
                "self.add(number, lane, first)",
                "self.add(number, lane._replace(priority=200 - lane.priority), first)",
            ),
        ),
        ("test_priority_place_and_order_of_keys_outlive_the_leader",),
    ),
    Break(
        "a halted key goes on",
        (
            Edit(
                f"{_FEATURES}.lanes:_settled",
                "if state in (State.FAILED, State.LOST) and decode_spec(packed).halts:",
                "if False:",
            ),
        ),
        ("test_the_page_on_priority_and_order_works_as_printed",),
    ),
    Break(
        "a queue's length is not looked at",
        (
            Edit(
                f"{_FEATURES}.queue_limits:check_fits",
                "limit and new > 0 and held + new > limit",
                "False",
            ),
        ),
        ("test_a_full_queue_refuses_and_who_waits_goes_on_once_there_is_room",),
    ),
    Break(
        "a queue's settings are acknowledged and never reach the log",
        (
            Edit(
                f"{_FEATURES}.queue_settings:_check",
                "    return change",
                "    return Done()",
            ),
        ),
        ("test_what_is_set_for_a_queue_outlives_the_leader",),
    ),
    Break(
        "a poison task is never lost",
        (Edit(f"{_QUEUE}.attempts:_too_many", "run.losses >= min(", "run.losses > 9 + min("),),
        ("test_a_poison_task_takes_so_many_processes_down_and_no_more",),
    ),
    Break(
        "a dead task is retried as often as it is asked for",
        (Edit(f"{_FEATURES}.dead_letters:retry", "if again:", "if False:"),),
        ("test_the_dead_are_listed_retried_once_and_purged",),
    ),
    Break(
        "no process is ever replaced",
        (Edit(f"{_WORKER}.pool.recycling:Recycling.due", "0 < self.tasks <= ran", "False"),),
        ("test_processes_are_replaced_after_so_many_tasks_and_every_task_runs_once",),
    ),
    Break(
        "any pool is told to replace its processes",
        (
            Edit(
                f"{_CLI}.worker:_check_pool",
                'if pool != "process" and any(recycling):',
                "if False:",
            ),
        ),
        ("test_only_processes_can_be_replaced",),
    ),
)

BREAKS = (
    *(*_DURABILITY, *_LEADERSHIP, *_DIRECTORIES, *HOSTILE, *SCHEDULES),
    *(*_COMMANDS, *_WORKERS, *KILLED_WORKERS, *_PREVENTION, *KEYS, *DISKS),
)

"""Deliberate bugs in queues' limits and settings, and with clients that stop for a while."""

from tests.sim.mutants.mutant import mutant as _mutant

_BROKER, _QUEUE = "raftwork.broker", "raftwork.broker.machine"
_FEATURES = "raftwork.features"
_CLIENT = "raftwork.client"

LIMITS = (
    _mutant(
        "limit not checked where a batch is applied",
        f"{_FEATURES}.enqueue:_insert_all",
        "check_room(ledger, spec.queue, tasks.payloads)",
        "pass",
        seeds=40,
    ),
    _mutant(
        "as much of a batch is stored as fits",
        f"{_FEATURES}.enqueue:admit",
        "        check_room(ledger, spec.queue, payloads_of(rows))\n",
        "        queue = ledger.queues.get(spec.queue)\n"
        "        if queue and queue.settings.max_length:\n"
        "            rows = rows[:max(1, queue.settings.max_length - queue.queued)]\n",
        seeds=40,
    ),
    _mutant(
        "settings forgotten at a restart",
        f"{_QUEUE}.queue:load_queues",
        "queue.set(settings_of(row[8]))",
        "pass",
        fast=True,
    ),
    _mutant(
        "what comes back is refused by a full queue",
        f"{_QUEUE}.attempts:_requeue",
        "ledger.db.executemany(_RETURN,",
        "runs = [r for r in runs if not (q := ledger.queues[r.queue]).settings.max_length"
        " or q.queued < q.settings.max_length]\n    ledger.db.executemany(_RETURN,",
        seeds=60,
    ),
    _mutant(
        "repeated batch refused by a full queue",
        f"{_FEATURES}.enqueue:check",
        "if new := new_rows(ledger, spec, rows_of(spec, columns, ledger.level)):",
        "if new := rows_of(spec, columns, ledger.level):",
        seeds=100,
    ),
    _mutant(
        "batch taken for known by its first task",
        f"{_FEATURES}.enqueue:stored",
        "return not new_rows(ledger, spec, rows_of(spec, tasks, ledger.level))",
        "return True",
    ),
    _mutant(
        "batch taken for known with whatever contents",
        f"{_FEATURES}.enqueue:stored",
        "return not new_rows(ledger, spec, rows_of(spec, tasks, ledger.level))",
        "return len(ledger.checksums(tasks.ids)) == len(tasks.ids)",
    ),
    _mutant(
        "bytes of what is handed out still count",
        f"{_QUEUE}.state:Ledger.begin",
        "queue.bytes -= run.size",
        "pass",
    ),
    _mutant(
        "change of a queue acknowledged when proposed",
        f"{_BROKER}.requests.request_processor:RequestProcessor._take",
        "self.changes.append(_wanted((asked, change)))",
        "self.changes.append(_wanted((asked, change)))\n"
        "            if 'tasks' not in asked.request._fields:\n"
        "                answer = rule.answer(self.view, asked.request, Done())\n"
        "                self._frames.append((asked.key[0], answer))",
    ),
    _mutant(
        "settings told without a barrier",
        f"{_BROKER}.requests.request_processor:RequestProcessor._take",
        "self.read_barrier.add(_Reading(asked, rule.slices(self.view, asked.request)))",
        "self.read_barrier.add(_Reading(asked, rule.slices(self.view, asked.request)))\n"
        "            if 'ids' not in asked.request._fields:\n"
        "                self.read_barrier.barrier(-1); self.read_ready(-1)",
        seeds=200,
    ),
    _mutant(
        "who waits for room does not ask for it again",
        f"{_CLIENT}.backpressure:Backpressure.wake",
        "if now >= line.again_at:",
        "if False:",
        seeds=100,
    ),
    _mutant(
        "who stands behind one that waits for room is forgotten once that one is taken",
        f"{_CLIENT}.backpressure:Backpressure.ended",
        "if line.refused or line.fresh:",
        "if False:",
        seeds=100,
    ),
    _mutant(
        "enqueues that travelled together are refused together",
        f"{_CLIENT}.requests:Requests.refused",
        "self._backlog.extend(sent.parted())",
        "for call in sent.members: self._finish(call, error=REFUSALS[refused.code](refused.text))",
        seeds=60,
    ),
    _mutant(
        "calls have no deadline",
        f"{_CLIENT}.calls:Call.late",
        "now >= self.deadline",
        "False",
    ),
    _mutant(
        "outcomes that a stopped client did not read are dropped",
        f"{_BROKER}.requests.result_outbox:ResultOutbox.frames",
        "outbox.hold()",
        "del self._outboxes[routing]",
        seeds=40,
    ),
    _mutant(
        "purge does without the log where a leader knows of nothing",
        f"{_FEATURES}.purge_queue:_check",
        "return _Purge(request.queue, view.state.seq)",
        "known = view.state.queues.get(request.queue)\n"
        "    return _Purge(request.queue, view.state.seq) if known and known.queued else Done()",
        seeds=60,
    ),
    _mutant(
        "purge ends with its first entry",
        f"{_FEATURES}.purge_queue:_Purge.applied",
        "Done(self._purged) if reply.affected < self._part.limit else None",
        "Done(self._purged)",
        seeds=20,
    ),
    _mutant(
        "purged bytes count on",
        f"{_FEATURES}.waiting:_count",
        "queue.bytes -= sum(task.size for task in mine)",
        "pass",
        fast=True,
    ),
    _mutant(
        "a longer lease that is set is not kept",
        f"{_BROKER}.workers.registry:WorkerRegistry._session",
        "now + self.settings.worker_lease",
        "now + 3_000",
        seeds=100,
    ),
    _mutant(
        "a new leader knows of no longer lease",
        f"{_BROKER}.workers.registry:WorkerRegistry.__init__",
        "Worker(running.worker, now + self.settings.worker_lease)",
        "Worker(running.worker, now + 3_000)",
        seeds=200,
    ),
    _mutant(
        "the cluster's settings are forgotten at a restart",
        f"{_QUEUE}.state:Ledger.__init__",
        "self.settings = cluster_settings.read(db)",
        "self.settings = ClusterSettings()",
        fast=True,
    ),
    _mutant(
        "a change of the cluster's settings is acknowledged when proposed",
        f"{_FEATURES}.cluster_settings:_check",
        "return _Lowering(values)",
        "return Done() if 'sweep' in values else _Lowering(values)",
        seeds=60,
    ),
)

"""The screen: four tables, all at once where there is room for them, else one.

1. Names and errors are other people's texts: they are shown as `rich.Text`, never as markup, and
   what is not printable in them is escaped.
2. The selected row is that of the same thing from one look to the next, wherever it moves. So what
   a key is pressed for is what was selected, and the question names it once more.
3. Without a leader what it told last stays, and says of when it is.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import ClassVar, Final, Generic, NamedTuple, TypeVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, Vertical
from textual.coordinate import Coordinate
from textual.events import Resize
from textual.message import Message
from textual.notifications import SeverityLevel
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, DataTable, Footer, Static

from raftwork.cli.top.asking import Picture, Source
from raftwork.cli.top.changes import Cancel, Change, Drain, Pause, Resume
from raftwork.cli.top.head import at, lines
from raftwork.cli.top.listing import Layout, Listing, Order
from raftwork.cli.top.listings import BROKERS, QUEUES, RUNNING, WORKERS
from raftwork.client.overview import Row
from raftwork.client.run_info import RunInfo
from raftwork.escapes import visible
from raftwork.messages import QueueStatus, WorkerStatus

T = TypeVar("T")

#: Between two looks at what is known, s. The brokers are asked once a second.
TICK_S: Final = 0.25
#: Rows of a table, after sorting.
ROWS_MAX: Final = 500


class Pane(DataTable[Text], Generic[T]):
    """One listing, sorted, with a selected row."""

    class Wanted(Message):
        """A key asked for a change."""

        def __init__(self, change: Change) -> None:
            super().__init__()
            self.change = change

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort"),
        Binding("r", "reverse", "Reverse"),
    ]

    def __init__(self, listing: Listing[T], id: str) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id, cursor_type="row", zebra_stripes=False)
        self._listing, self._order = listing, listing.order
        #: All that there is, and what is shown of it, in this order.
        self.items: Sequence[T] = ()
        self._shown: list[T] = []
        self._laid_out: tuple[Layout, Order] | None = None
        self._note = ""

    @property
    def selected(self) -> T | None:
        """Whose row is selected; None of an empty table."""
        return self._shown[self.cursor_row] if 0 <= self.cursor_row < len(self._shown) else None

    def show(self, items: Sequence[T], note: str = "") -> None:
        """These from now on; the note is said beside how many they are."""
        # The first row is no choice: whoever has chosen nothing sees what comes first.
        stays = self._selected_key() if self.cursor_row else None
        self.items, self._note = items, note
        self._shown = self._listing.sorted(items, self._order)[:ROWS_MAX]
        shown = f"{len(items):,}" if len(items) <= ROWS_MAX else f"{ROWS_MAX} of {len(items):,}"
        # Of our own words alone: Textual takes a title for markup.
        self.border_title = f"{self._listing.title} {shown}{note}"
        self._draw(stays)

    def on_resize(self, _event: Resize) -> None:
        """There may be room for more, or for less."""
        self._draw(self._selected_key())

    def on_focus(self) -> None:
        """It is the one that stays when there is no room for the others."""
        for pane in self.screen.query(Pane):
            pane.set_class(pane is self, "-chosen")

    def action_sort(self) -> None:
        """By the next of the columns that are shown."""
        if self._laid_out is not None:
            shown = self._laid_out[0].columns
            now = shown.index(self._order.column) if self._order.column in shown else -1
            self._sort(self._listing.ordered_by(shown[(now + 1) % len(shown)]))

    def action_reverse(self) -> None:
        """By the same column, the other way round."""
        self._sort(Order(self._order.column, not self._order.descending))

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """A column's head was clicked."""
        event.stop()
        if self._laid_out is not None:
            column = self._laid_out[0].columns[event.column_index]
            if column == self._order.column:
                self.action_reverse()
            else:
                self._sort(self._listing.ordered_by(column))

    def _selected_key(self) -> Hashable:
        return None if self.selected is None else self._listing.key(self.selected)

    def _sort(self, order: Order) -> None:
        self._order = order
        self.show(self.items, self._note)

    def _draw(self, stays: Hashable) -> None:
        """With the cursor on the thing of that key, if it is still there."""
        if not self.size.width:
            return  # it is not shown
        rows = [[column.cell(item) for column in self._listing.columns] for item in self._shown]
        keys = [self._listing.key(item) for item in self._shown]
        cursor = keys.index(stays) if stays in keys else min(self.cursor_row, len(rows) - 1)
        layout = self._listing.layout(rows, self.scrollable_size.width)
        if (layout, self._order) != self._laid_out:
            self._laid_out = layout, self._order
            self._make_columns(layout)
        for y, row in enumerate(rows):
            self._put(y, [Text(cell) for cell in layout.cells(row)])
        while self.row_count > len(rows):
            last = Coordinate(self.row_count - 1, 0)
            self.remove_row(self.coordinate_to_cell_key(last).row_key)
        if rows and cursor != self.cursor_row:
            self.move_cursor(row=cursor)

    def _put(self, y: int, cells: Sequence[Text]) -> None:
        if y >= self.row_count:
            self.add_row(*cells)
            return
        for x, cell in enumerate(cells):
            where = Coordinate(y, x)
            if self.get_cell_at(where) != cell:
                self.update_cell_at(where, cell)

    def _make_columns(self, layout: Layout) -> None:
        self.clear(columns=True)
        mark = "↓" if self._order.descending else "↑"
        titles = [
            f"{column.title} {mark}" if at == self._order.column else column.title
            for at, column in enumerate(self._listing.columns)
        ]
        for title, width in zip(layout.cells(titles), layout.widths, strict=True):
            self.add_column(Text(title), width=width)


class QueuesPane(Pane[QueueStatus]):
    """Queues, which can be paused and resumed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("p", "pause", "Pause, resume")]

    def action_pause(self) -> None:
        """Ask whether the selected one is to be."""
        if (queue := self.selected) is not None:
            paused = queue.paused_until > 0
            self.post_message(self.Wanted(Resume(queue.name) if paused else Pause(queue.name)))


class WorkersPane(Pane[WorkerStatus]):
    """Workers, which can be drained."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("d", "drain", "Drain")]

    def action_drain(self) -> None:
        """Ask whether the selected one is to be."""
        if (worker := self.selected) is not None:
            namesakes = [w for w in self.items if w.name == worker.name and w.state != "lost"]
            self.post_message(self.Wanted(Drain(worker.name, max(1, len(namesakes)))))


class RunningPane(Pane[RunInfo]):
    """Running tasks, which can be cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "cancel", "Cancel")]

    def action_cancel(self) -> None:
        """Ask whether the selected one is to be."""
        if (task := self.selected) is not None:
            self.post_message(self.Wanted(Cancel(task.id, task.name or "")))


class Panes(NamedTuple):
    """In the order of their keys."""

    queues: QueuesPane
    workers: WorkersPane
    running: RunningPane
    brokers: Pane[Row]

    @property
    def all(self) -> tuple[Widget, ...]:
        """Without what each shows."""
        return (self.queues, self.workers, self.running, self.brokers)


class Confirm(ModalScreen[bool]):
    """A question before something is changed. What is pressed without looking means no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question, yes and no."""
        with Vertical(id="question"):
            yield Static(Text(visible(self._question)))
            with Horizontal():
                yield Button("No (n)", id="no")
                yield Button("Yes (y)", id="yes")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Clicked."""
        self.action_answer(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Answered."""
        self.dismiss(answer)


class Top(App[None]):
    """The whole of it, over a source."""

    TITLE = "raftwork top"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (130, "-wide")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "pane(0)", "Queues"),
        Binding("2", "pane(1)", "Workers"),
        Binding("3", "pane(2)", "Running"),
        Binding("4", "pane(3)", "Brokers"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]
    CSS = """
    #head { padding: 0 1; }
    .-low #head { max-height: 6; }
    Grid { grid-size: 2 2; height: 1fr; }
    Pane { border: round $foreground 40%; height: 100%; }
    Pane:focus { border: heavy $accent; }
    .-narrow Grid, .-low Grid { grid-size: 1 1; }
    .-narrow Pane, .-low Pane { display: none; }
    .-narrow Pane.-chosen, .-low Pane.-chosen { display: block; }
    Confirm { align: center middle; }
    #question { width: 72; max-width: 100%; height: auto; border: heavy $accent; padding: 1 2; }
    #question Horizontal { height: auto; margin-top: 1; }
    #question Button { margin-right: 2; }
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._picture = Picture()
        #: When a leader was seen last, s since 1970; 0 if never.
        self._led_at = 0.0
        self._head = Static(id="head")
        self.panes = Panes(
            QueuesPane(QUEUES, "queues"),
            WorkersPane(WORKERS, "workers"),
            RunningPane(RUNNING, "running"),
            Pane(BROKERS, "brokers"),
        )

    def compose(self) -> ComposeResult:
        """The head, the tables, the keys."""
        yield self._head
        with Grid():
            yield from self.panes.all
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        # Killed, it would leave the terminal as it needs it, and nobody else does.
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self.action_pane(0)
        self.set_interval(TICK_S, self.look)
        self.look()

    def look(self) -> None:
        """Show what is known by now, and what came of changes."""
        for answer in self._source.answers():
            severity: SeverityLevel = "information" if answer.done else "error"
            self.notify(visible(answer.text), severity=severity, markup=False, timeout=8)
        picture, before = self._source.look(), self._picture
        running = self.panes.running
        self._source.wants_running = running.display or running.has_class("-chosen")
        if picture.seen.overview.leader is not None:
            self._led_at = picture.seen.at
        said = lines(picture, self._led_at, time.time())
        self._head.update(Text("\n").join(Text(each.text, each.style) for each in said))
        if picture is not before:
            self._picture = picture
            self._show(picture)

    def _show(self, picture: Picture) -> None:
        seen = picture.seen.overview
        if seen.leader is not None:
            self.panes.queues.show(seen.queues)
            self.panes.workers.show(seen.workers)
            self.panes.running.show(picture.running.tasks)
        else:
            old = f", as of {at(self._led_at)}" if self._led_at else ""
            self.panes.queues.show(
                seen.queues or self.panes.queues.items, ", as the best broker knows them"
            )
            self.panes.workers.show(self.panes.workers.items, old)
            self.panes.running.show(self.panes.running.items, old)
        self.panes.brokers.show(seen.brokers)

    def action_pane(self, number: int) -> None:
        """Choose a table: where there is no room for all it is the one that is shown."""
        for place, pane in enumerate(self.panes.all):
            pane.set_class(place == number, "-chosen")
        # At once, and not when it is drawn: what is typed next is for this one.
        self.screen.set_focus(self.panes.all[number])

    def on_pane_wanted(self, message: Pane.Wanted) -> None:
        """Ask first."""
        change = message.change

        def answered(yes: bool | None) -> None:
            if yes:
                self._source.change(change)

        self.push_screen(Confirm(change.question), answered)

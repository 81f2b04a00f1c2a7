"""The engine's own way to form steps, said again as a scheduler."""

from __future__ import annotations

from typing import Any

from edgesim.policies import Plan, Scheduler


class Restated(Scheduler):
    """First come, first served, or by priority, as the engine forms steps.

    Every decode gets the KV block its next token needs, preempting the last request by rank where none is free; the
    chunk in progress goes on; swapped and then waiting requests join while seats, tokens and blocks last.
    """

    def __init__(self, *, ranked: bool) -> None:
        self.ranked, self.asked = ranked, 0

    def schedule(self, view: Any) -> Plan:
        self.asked += 1
        self.view, self.running = view, list(view.running)
        self.recomputed, self.swapped_out = [], []
        self.room_to_swap = view.free_swap_blocks
        self.make_room()
        self.decodes = [request for request in self.running if request.state == "decoding"]
        self.budget = view.token_budget - len(self.decodes)
        self.chunks: list[tuple[Any, int]] = []
        for request in self.running:
            if request.state == "prefilling":
                self.read(request)
        if not (self.recomputed or self.swapped_out) and self.all_swapped_in():
            self.admit()
        return Plan(self.decodes, self.chunks, self.recomputed, self.swapped_out)

    def make_room(self) -> None:
        """Give every decode its block."""
        served: list[Any] = []
        for request in self.view.running:
            if request.state == "decoding" and request.blocks_needed:
                while request in self.running and self.free(served) == 0:
                    self.preempt()
                    served = [other for other in served if other in self.running]
                if request in self.running:
                    served.append(request)

    def free(self, taking_part: list[Any]) -> int:
        """Free blocks once these have theirs."""
        return int(self.view.free_blocks_after([*self.recomputed, *self.swapped_out], taking_part))

    def preempt(self) -> None:
        """Preempt the last request by rank, the youngest of equals."""
        ranks = [request.priority if self.ranked else 0 for request in self.running]
        victim = [request for request, rank in zip(self.running, ranks, strict=True) if rank == max(ranks)][
            -1
        ]
        self.running.remove(victim)
        if victim.state == "decoding" and victim.swap_blocks <= self.room_to_swap:
            self.room_to_swap -= victim.swap_blocks
            self.swapped_out.append(victim)
        else:
            self.recomputed.append(victim)

    def read(self, request: Any) -> None:
        """Let a request read as much as the budget allows."""
        tokens = min(request.unread_tokens, self.budget)
        self.chunks.append((request, tokens))
        self.budget -= tokens

    def fits(self, request: Any) -> bool:
        """Is there a seat, a token and memory for one more?"""
        keep = self.view.watermark if self.running else 0
        free = self.free([*self.decodes, *(leg for leg, _ in self.chunks), request])
        return self.budget > 0 and len(self.running) < self.view.max_num_seqs and free >= keep

    def all_swapped_in(self) -> bool:
        """Bring swapped requests back while they fit."""
        for request in self.view.swapped:
            if not self.fits(request):
                return False
            self.running.append(request)
            self.decodes.append(request)
            self.budget -= 1
        return True

    def admit(self) -> None:
        """Start waiting requests while they fit."""
        for request in self.view.waiting:
            whole = self.view.whole_prompts and request.unread_tokens > self.budget
            if whole or not self.fits(request):
                return
            self.running.append(request)
            self.read(request)


class Attentive(Restated):
    """The same, asked at every step."""

    every_step = True

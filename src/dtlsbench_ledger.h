/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_ledger: which questions are out, and since when. Questions have consecutive numbers; answers come in
 * any order, twice, or never. Pure: time is handed in.
 */
#ifndef DTLSD_DTLSBENCH_LEDGER_H
#define DTLSD_DTLSBENCH_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct ledger {
	uint64_t *since;  /* by number & mask; 0: answered */
	uint64_t mask;
	uint64_t first;   /* every number below it is answered or lost */
	uint64_t next;
	uint64_t open;    /* asked, neither answered nor lost */
	uint64_t lost;
	uint64_t timeout_ns;
};

/* Room for so many numbers at least from the oldest that is open on. 0 or -ENOMEM. */
int ledger_init(struct ledger *l, uint64_t room, uint64_t timeout_ns);
void ledger_free(struct ledger *l);

/* No question may be asked now: the oldest that is open is in the way. */
bool ledger_full(const struct ledger *l);
/* Asks a question; its number. since (> 0) is when its time begins to count. Not when full. */
uint64_t ledger_ask(struct ledger *l, uint64_t since);
/* since of the question that is answered now; 0: it was answered before, given up or never asked. */
uint64_t ledger_answer(struct ledger *l, uint64_t number);
/* Gives up what has been open for the time-out. */
void ledger_expire(struct ledger *l, uint64_t now);
/* Gives up all that is open. */
void ledger_abandon(struct ledger *l);

#endif

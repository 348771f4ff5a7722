/* SPDX-License-Identifier: BSD-2-Clause */
/* ward: one process in the keeper's care, from its start to its end, and what is logged of it. */
#ifndef DTLSD_WARD_H
#define DTLSD_WARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "job.h"
#include "lines.h"
#include "place.h"
#include "ratelimit.h"
#include "wheel.h"

struct ward;

/* What wards have in common. */
struct wards {
	int channel, epoll;
	uint64_t now;        /* ms */
	uint32_t grace_most; /* ms; less than what jobs say once dtlsd ends */
	unsigned count;      /* up to JOB_PROCESSES_MOST */
	unsigned last_slot;  /* that was taken */
	struct keeper_page *page;
	struct place all;    /* of them */
	struct ratelimit lines_rate;
	struct wheel wheel;
};

/* What epoll tells of a ward. */
enum ward_part { WARD_SOCKET, WARD_PROCESS, WARD_ERRORS, WARD_PARTS };

struct ward_watch { /* in epoll's data.ptr; NULL: it is the channel */
	struct ward *ward;
	enum ward_part part;
};

/* Runs a job, which is copied; the socket is the ward's. false: out of memory or descriptors, and the socket is closed. */
bool ward_new(struct wards *k, const char *request, size_t len, int socket);
/* May end this ward, and no other. */
void ward_event(const struct ward_watch *v);
void ward_timer(void *ctx, struct timer *t);
/* A line for the log, to dtlsd; it may get lost. */
void ward_say_line(int channel, const struct keeper_line *line);
/* All are to be gone within that time. */
void wards_end(struct wards *k, uint32_t ms);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define TEXT_MAX 1100 /* the roster fits into one datagram of the usual size */
#define LISTED_MAX 20
#define JOBS_MAX 64
#define ROSTERS_MAX 64 /* of one worker under way: a peer asks faster than all workers answer */
#define VISITS_A_RUN 256
#define ERRANDS_MAX 4096 /* of one worker under way */

enum kind { KIND_BROADCAST, KIND_ROSTER, KIND_ERRAND };

struct message {
	struct letter letter; /* first */
	enum kind kind;
	/* roster */
	unsigned hop;         /* the worker that is asked now */
	unsigned origin;      /* who gets the answer */
	struct flow asker;
	uint32_t serial;
	uint64_t sessions;    /* in all */
	unsigned listed;
	/* errand */
	struct bus *from; /* outlives all letters that are read */
	bus_call *call;
	uint64_t number;
	/* all */
	size_t len;
	uint8_t text[];
};

/* A broadcast on its way through this worker's sessions. */
struct bus_job {
	struct bus_job *next;
	struct message *message;
	uint64_t cursor;
};

static struct message *message_new(enum kind kind, size_t text)
{
	struct message *m = calloc(1, sizeof(*m) + text);

	if (m)
		m->kind = kind;
	return m;
}

/* false: that worker is at its end. */
static bool post(struct bus *b, unsigned worker, struct message *m)
{
	if (b->post(b->post_ctx, worker, &m->letter))
		return true;
	free(m);
	return false;
}

/* ---- broadcast ---- */

int bus_broadcast(struct bus *b, const uint8_t *data, size_t len)
{
	for (unsigned i = 0; i < b->count; i++) {
		struct message *m = message_new(KIND_BROADCAST, len);

		if (!m)
			return -ENOMEM;
		memcpy(m->text, data, len);
		m->len = len;
		(void)post(b, i, m);
	}
	return 0;
}

static void begin_broadcast(struct bus *b, struct message *m)
{
	struct bus_job *job = b->job_count < JOBS_MAX ? calloc(1, sizeof(*job)) : NULL;
	struct bus_job **last = &b->jobs;

	if (!job) {
		if (b->job_count == JOBS_MAX)
			log_limited(LOG_WARNING_, NULL, "a broadcast was dropped: %d are under way already; "
				    "clients say them faster than they are sent", JOBS_MAX);
		else
			log_limited(LOG_WARNING_, NULL, "a broadcast was dropped: out of memory: lower --max-sessions");
		free(m);
		return;
	}
	while (*last)
		last = &(*last)->next;
	*last = job;
	job->message = m;
	b->job_count++;
}

static void end_first_job(struct bus *b)
{
	struct bus_job *job = b->jobs;

	b->jobs = job->next;
	b->job_count--;
	free(job->message);
	free(job);
}

static void announce(void *ctx, struct table_node *n)
{
	struct session *s = session_of_node(n);
	struct bus *b = ctx;

	(void)session_send(s, b->jobs->message->text, b->jobs->message->len);
	b->settle(b->settle_ctx, s);
}

bool bus_run(struct bus *b)
{
	if (b->jobs && !table_walk(b->sessions, &b->jobs->cursor, VISITS_A_RUN, announce, b))
		end_first_job(b);
	return b->jobs != NULL;
}

void bus_clear(struct bus *b)
{
	while (b->jobs)
		end_first_job(b);
}

/* ---- roster ---- */

int bus_roster(struct bus *b, const struct session *asker)
{
	struct message *m;

	if (b->rosters == ROSTERS_MAX)
		return -EAGAIN;
	m = message_new(KIND_ROSTER, TEXT_MAX);
	if (!m)
		return -ENOMEM;
	b->rosters++;
	m->origin = b->index;
	m->asker = asker->node.flow;
	m->serial = asker->serial;
	(void)post(b, 0, m);
	return 0;
}

/* Adds a line for the session. false: no room for it nor for more. */
static bool add_line(struct message *m, const struct session *s)
{
	char peer[ADDR_TEXT_MAX];
	size_t room = TEXT_MAX - m->len;
	int n;

	if (m->listed == LISTED_MAX)
		return false;
	n = snprintf((char *)m->text + m->len, room,
		     "%s age %" PRIu64 " s, in %" PRIu64 " records %" PRIu64 " bytes, out %" PRIu64
		     " records %" PRIu64 " bytes\n",
		     addr_format(&s->node.flow.peer, peer), session_age(s), s->records_in, s->bytes_in,
		     session_records_out(s), s->bytes_out);
	if (n < 0 || (size_t)n >= room)
		return false;
	m->len += (size_t)n;
	m->listed++;
	return true;
}

struct listing {
	struct message *m;
	bool full;
};

static void list_session(void *ctx, struct table_node *n)
{
	struct listing *l = ctx;

	if (!l->full && !add_line(l->m, session_of_node(n)))
		l->full = true;
}

static void answer(struct bus *b, struct message *m)
{
	struct table_node *n = table_find(b->sessions, &m->asker);
	struct session *s = n ? session_of_node(n) : NULL;
	char text[TEXT_MAX + 80];
	int len;

	b->rosters--;
	if (s && s->serial == m->serial) {
		uint64_t more = m->sessions > m->listed ? m->sessions - m->listed : 0;

		len = snprintf(text, sizeof(text), "%" PRIu64 " session%s\n%.*s", m->sessions,
			       m->sessions == 1 ? "" : "s", (int)m->len, (const char *)m->text);
		if (more)
			len += snprintf(text + len, sizeof(text) - (size_t)len, "and %" PRIu64 " more\n", more);
		(void)session_send(s, text, (size_t)len);
		b->settle(b->settle_ctx, s);
	}
	free(m);
}

static void on_roster(struct bus *b, struct message *m)
{
	struct listing l = { m, false };
	uint64_t cursor = 0;

	if (m->hop == b->count) {
		answer(b, m);
		return;
	}
	m->sessions += table_count(b->sessions);
	while (!l.full && table_walk(b->sessions, &cursor, LISTED_MAX, list_session, &l))
		continue;
	m->hop++;
	(void)post(b, m->hop == b->count ? m->origin : m->hop, m);
}

/* ---- errands ---- */

int bus_send(struct bus *b, unsigned worker, bus_call *call, uint64_t number, const uint8_t *data, size_t len)
{
	struct message *m;

	if (atomic_load(&b->errands) >= ERRANDS_MAX)
		return -EAGAIN;
	m = message_new(KIND_ERRAND, len);
	if (!m)
		return -ENOMEM;
	m->from = b;
	m->call = call;
	m->number = number;
	m->len = len;
	memcpy(m->text, data, len);
	atomic_fetch_add(&b->errands, 1);
	if (post(b, worker, m))
		return 0;
	atomic_fetch_sub(&b->errands, 1);
	return -ECONNRESET;
}

static void run_errand(struct bus *b, struct message *m)
{
	atomic_fetch_sub(&m->from->errands, 1);
	m->call(b->env, m->number, m->text, m->len);
	free(m);
}

void bus_letter(struct bus *b, struct letter *l)
{
	struct message *m = (struct message *)(void *)l;

	switch (m->kind) {
	case KIND_BROADCAST:
		begin_broadcast(b, m);
		break;
	case KIND_ROSTER:
		on_roster(b, m);
		break;
	case KIND_ERRAND:
		run_errand(b, m);
		break;
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "desk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "about_text.h"
#include "bus.h"
#include "log.h"
#include "parcel.h"
#include "upstream.h"

#define SLOTS_FIRST 16
#define SLOTS_MOST (1U << 24)

/* A session's number: worker, slot at its desk, and a serial number that tells it from the one before in that slot. */
#define NUMBER(worker, slot, serial) ((uint64_t)(worker) << 56 | (uint64_t)(slot) << 32 | (serial))
#define WORKER_OF(number) ((unsigned)((number) >> 56))
#define SLOT_OF(number) ((uint32_t)((number) >> 32) & (SLOTS_MOST - 1))

struct member {
	struct desk *desk;
	struct exec *exec; /* a reference: while there is a session the process stays, whatever a reload says */
	struct session *session;
	uint64_t number;
	size_t about_len;
	char about[];
};

struct slot {
	struct member *member; /* NULL: free */
	uint32_t next_free;    /* + 1; 0: the last */
};

struct desk {
	struct upstream_socket socket; /* first */
	struct desk *next;
	struct env *env;
	uint64_t channel;
	bool reads;
	uint32_t members, slots, first_free; /* + 1 */
	struct slot *slot;
};

/* ---- desks ---- */

static struct desk *find_desk(const struct env *env, uint64_t channel)
{
	struct desk *d = env->desks;

	while (d && d->channel != channel)
		d = d->next;
	return d;
}

static void free_desk(struct desk *d)
{
	struct desk **at = &d->env->desks;

	assert(d->members == 0);
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	upstream_close(d->env->upstream, &d->socket);
	free(d->slot);
	free(d);
}

/* Who reads stays, for the sessions of other workers. */
static void close_if_idle(struct desk *d)
{
	if (d->members == 0 && !d->reads)
		free_desk(d);
}

static bool grow(struct desk *d)
{
	uint32_t slots = d->slots ? 2 * d->slots : SLOTS_FIRST;
	struct slot *more = slots > SLOTS_MOST ? NULL : reallocarray(d->slot, slots, sizeof(*more));

	if (!more)
		return false;
	for (uint32_t i = d->slots; i < slots; i++)
		more[i] = (struct slot){ NULL, i + 1 < slots ? i + 2 : d->first_free };
	d->first_free = d->slots + 1;
	d->slot = more;
	d->slots = slots;
	return true;
}

static void send_parcel(struct desk *d, enum parcel_kind kind, uint64_t number, const void *data, size_t len)
{
	const struct parcel p = { kind, number };
	uint8_t head[PARCEL_HEAD];

	parcel_write(&p, head);
	upstream_send(d->env->upstream, &d->socket, head, sizeof(head), data, len);
}

/* ---- what the process says ---- */

/* At the worker that has the session. */
static void take_parcel(struct env *env, uint64_t channel, const uint8_t *data, size_t len)
{
	struct desk *d = find_desk(env, channel);
	struct member *m = NULL;
	struct parcel p;

	if (!d || !parcel_read(&p, data, len))
		return;
	if (SLOT_OF(p.session) < d->slots)
		m = d->slot[SLOT_OF(p.session)].member;
	if (!m || m->number != p.session) {
		if (p.kind != PARCEL_CLOSE)
			send_parcel(d, PARCEL_CLOSE, p.session, NULL, 0); /* it has missed that */
		return;
	}
	switch (p.kind) {
	case PARCEL_DATA:
		/* what is too large, or finds the queue full, is counted there and lost as a whole */
		(void)session_send(m->session, data + PARCEL_HEAD, len - PARCEL_HEAD);
		break;
	case PARCEL_CLOSE:
		session_close(m->session, SESSION_END_LOCAL);
		break;
	case PARCEL_ASK:
		send_parcel(d, PARCEL_OPEN, m->number, m->about, m->about_len);
		return;
	case PARCEL_OPEN: /* no process says that */
		return;
	}
	env->bus->settle(env->bus->settle_ctx, m->session);
}

static void on_reply(struct upstream_socket *socket, uint8_t *data, size_t len)
{
	struct desk *d = (struct desk *)(void *)socket;
	struct bus *bus = d->env->bus;
	struct parcel p;

	if (!parcel_read(&p, data, len) || p.kind == PARCEL_OPEN || WORKER_OF(p.session) >= bus->count) {
		metric_inc(d->env->metrics, METRIC_exec_malformed);
		log_limited(LOG_WARNING_, NULL, "handler exec: a process that serves a whole service has sent a datagram "
			    "of %zu bytes without a header that is for dtlsd: see dtlsd-exec(7)", len);
		return;
	}
	if (WORKER_OF(p.session) == bus->index)
		take_parcel(d->env, d->channel, data, len);
	else if (bus_send(bus, WORKER_OF(p.session), take_parcel, d->channel, data, len) < 0)
		metric_inc(d->env->metrics, METRIC_exec_lost);
}

/* The process has shut its socket down, or the service is gone and nobody needs this desk any more. */
static void on_ended(struct upstream_socket *socket)
{
	struct desk *d = (struct desk *)(void *)socket;
	struct env *env = d->env;
	uint32_t left = d->members;

	shutdown(socket->fd, SHUT_RDWR); /* be it one way only: the other workers' sessions have nobody to hear them */
	if (left > 0)
		log_limited(LOG_WARNING_, NULL, "handler exec: a process has shut down its socket: its %u sessions here are "
			    "closed; with their next the process is started anew", left);
	d->reads = true; /* so that the last session does not take the desk with it */
	for (uint32_t i = 0; left > 0; i++) {
		struct member *m = d->slot[i].member;

		if (!m)
			continue;
		session_close(m->session, SESSION_END_LOCAL);
		left--;
		env->bus->settle(env->bus->settle_ctx, m->session);
	}
	free_desk(d);
}

static const struct upstream_owner owner = { .reply = on_reply, .ended = on_ended };

/* ---- sessions ---- */

/* d is all zero. 0; -errno: fd is closed, and nothing is left. */
static int furnish(struct desk *d, struct exec *x, struct env *env, uint64_t channel, int fd)
{
	int err;

	d->env = env;
	d->channel = channel;
	err = upstream_adopt(env->upstream, &d->socket, fd, true, &owner);
	if (err < 0)
		return err;
	/* not before it has the socket: nobody else would read for those who ask meanwhile */
	d->reads = exec_claim(x, channel);
	if (d->reads)
		upstream_listen(env->upstream, &d->socket);
	d->next = env->desks;
	env->desks = d;
	return 0;
}

/* 0 or -errno. */
static int make_desk(struct exec *x, struct env *env, uint64_t channel, struct desk **out)
{
	struct desk *d = calloc(1, sizeof(*d));
	int fd, err;

	if (!d)
		return -ENOMEM;
	fd = exec_copy_channel(x, channel);
	err = fd < 0 ? fd : furnish(d, x, env, channel, fd);
	if (err < 0) {
		free(d);
		return err;
	}
	*out = d;
	return 0;
}

static struct member *make_member(struct exec *x, struct desk *d, struct session *s)
{
	uint64_t number = NUMBER(d->env->bus->index, d->first_free - 1, s->serial);
	char about[ABOUT_TEXT_MAX];
	unsigned count;
	size_t len = about_text(s, number, about, &count);
	struct member *m = malloc(sizeof(*m) + len);

	if (!m)
		return NULL;
	*m = (struct member){ .desk = d, .exec = exec_ref(x), .session = s, .number = number, .about_len = len };
	memcpy(m->about, about, len);
	return m;
}

/* The desk of its process. 0 or -errno. */
static int go_to_desk(struct exec *x, struct env *env, struct desk **out)
{
	uint64_t channel;
	int err;

	do {
		err = exec_channel(x, env->now, &channel);
		if (err < 0)
			return err;
		*out = find_desk(env, channel);
		err = *out ? 0 : make_desk(x, env, channel, out);
	} while (err == -ESTALE); /* meanwhile another worker has found it shut down, and started the process anew */
	return err;
}

int desk_join(struct exec *x, struct session *s, struct member **out)
{
	struct member *m;
	struct desk *d;
	int err = go_to_desk(x, session_env(s), &d);

	if (err < 0)
		return err;
	m = d->first_free || grow(d) ? make_member(x, d, s) : NULL;
	if (!m) {
		close_if_idle(d);
		return -ENOMEM;
	}
	d->members++;
	d->first_free = d->slot[SLOT_OF(m->number)].next_free;
	d->slot[SLOT_OF(m->number)].member = m;
	send_parcel(d, PARCEL_OPEN, m->number, m->about, m->about_len);
	*out = m;
	return 0;
}

void desk_leave(struct member *m)
{
	struct desk *d = m->desk;
	uint32_t slot = SLOT_OF(m->number);

	send_parcel(d, PARCEL_CLOSE, m->number, NULL, 0);
	d->slot[slot] = (struct slot){ NULL, d->first_free };
	d->first_free = slot + 1;
	d->members--;
	exec_unref(m->exec);
	free(m);
	close_if_idle(d);
}

void desk_record(struct member *m, const uint8_t *data, size_t len)
{
	send_parcel(m->desk, PARCEL_DATA, m->number, data, len);
}

void desks_clear(struct env *env)
{
	while (env->desks)
		free_desk(env->desks);
}

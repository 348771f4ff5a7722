/* SPDX-License-Identifier: BSD-2-Clause */
#include "uplink.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "redial.h"

enum resumption {
	UNKNOWN,  /* whether the server lets sessions be resumed: the first handshake finds out, alone */
	ASKED,    /* and is under way */
	KNOWN
};

struct server {
	struct addr addr;        /* family 0: free */
	enum resumption resumption;
	gnutls_datum_t saved;
	uint64_t saved_at;
	bool proven;             /* saved has been resumed: the server keeps what it leaves */
	unsigned dials;          /* under way */
	unsigned forgotten;
	uint64_t forgotten_at;   /* the last of these times */
};

struct uplink {
	atomic_uint refs;
	atomic_uint forgetful;
	struct tls_client *tls;
	pthread_mutex_t lock;    /* of all below */
	struct redial redial;
	struct server server[REDIAL_SERVERS];
};

struct uplink *uplink_new(struct tls_client *tls)
{
	struct uplink *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	atomic_init(&u->refs, 1);
	u->tls = tls_client_ref(tls);
	pthread_mutex_init(&u->lock, NULL);
	return u;
}

struct uplink *uplink_ref(struct uplink *u)
{
	atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
	return u;
}

void uplink_forget(gnutls_datum_t *saved)
{
	if (saved->size)
		gnutls_memset(saved->data, 0, saved->size);
	gnutls_free(saved->data);
	*saved = (gnutls_datum_t){ NULL, 0 };
}

void uplink_unref(struct uplink *u)
{
	if (!u || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < REDIAL_SERVERS; i++)
		uplink_forget(&u->server[i].saved);
	tls_client_unref(u->tls);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

struct tls_client *uplink_tls(const struct uplink *u)
{
	return u->tls;
}

/* Without memory there is none, which costs a full handshake. */
static void copy(gnutls_datum_t *to, const gnutls_datum_t *from)
{
	*to = (gnutls_datum_t){ NULL, 0 };
	if (from->size == 0)
		return;
	to->data = gnutls_malloc(from->size);
	if (!to->data)
		return;
	memcpy(to->data, from->data, from->size);
	to->size = from->size;
}

/* NULL: all places are taken by servers that handshakes are under way with. */
static struct server *find(struct uplink *u, const struct addr *a)
{
	struct server *room = NULL;

	for (unsigned i = 0; i < REDIAL_SERVERS; i++) {
		struct server *s = &u->server[i];

		if (s->addr.family && addr_equal(&s->addr, a))
			return s;
		if (s->dials == 0 && (!room || (room->addr.family && s->saved_at < room->saved_at)))
			room = s;
	}
	if (room) {
		uplink_forget(&room->saved);
		*room = (struct server){ .addr = *a };
	}
	return room;
}

/* The saved session is not offered any more: that a full handshake follows says nothing about the server. */
static void leave(struct server *s)
{
	uplink_forget(&s->saved);
	s->proven = false;
}

static enum uplink_verdict ask(struct uplink *u, struct server *s, uint64_t now)
{
	if (s->saved.size && now >= s->saved_at + UPLINK_SAVED_MS) {
		leave(s);
		s->resumption = UNKNOWN;
	}
	if (s->resumption == ASKED || s->dials == UPLINK_DIALS)
		return UPLINK_WAIT;
	if (!redial_may(&u->redial, &s->addr, now))
		return UPLINK_DOWN;
	if (s->resumption == UNKNOWN)
		s->resumption = ASKED;
	s->dials++;
	return UPLINK_GO;
}

enum uplink_verdict uplink_may_dial(struct uplink *u, const struct addr *server, uint64_t now_ms,
				    gnutls_datum_t *saved)
{
	enum uplink_verdict v = UPLINK_WAIT;
	struct server *s;

	pthread_mutex_lock(&u->lock);
	s = find(u, server);
	if (s)
		v = ask(u, s, now_ms);
	if (v == UPLINK_GO)
		copy(saved, &s->saved);
	pthread_mutex_unlock(&u->lock);
	return v;
}

/* A full handshake has left another session: where the one before had been resumed, the server knows it no more. */
static void replace(struct uplink *u, struct server *s, const gnutls_datum_t *saved, uint64_t now)
{
	if (s->proven && (s->forgotten == 0 || now >= s->forgotten_at + UPLINK_FORGETS_MS)) {
		s->forgotten++;
		s->forgotten_at = now;
		atomic_fetch_add_explicit(&u->forgetful, 1, memory_order_relaxed);
	}
	leave(s);
	copy(&s->saved, saved);
	s->saved_at = now;
}

bool uplink_dialed(struct uplink *u, const struct addr *server, const gnutls_datum_t *saved, bool resumed,
		   uint64_t now_ms)
{
	struct server *s;
	bool again;

	pthread_mutex_lock(&u->lock);
	again = redial_succeeded(&u->redial, server);
	s = find(u, server);
	assert(s && s->dials > 0);
	s->dials--;
	s->resumption = KNOWN;
	if (resumed) /* it may have left a newer ticket, but its verification is as old as before */
		s->proven = true;
	else
		replace(u, s, saved, now_ms);
	pthread_mutex_unlock(&u->lock);
	return again;
}

/* The lock is held. */
static void note_failure(struct uplink *u, const struct addr *server, uint64_t began_ms, uint64_t now_ms)
{
	uint32_t chance = 0;

	(void)!getrandom(&chance, sizeof(chance), GRND_NONBLOCK);
	redial_failed(&u->redial, server, began_ms, now_ms, chance);
}

void uplink_turned_away(struct uplink *u, const struct addr *server, uint64_t began_ms, uint64_t now_ms)
{
	pthread_mutex_lock(&u->lock);
	note_failure(u, server, began_ms, now_ms);
	pthread_mutex_unlock(&u->lock);
}

void uplink_failed(struct uplink *u, const struct addr *server, enum uplink_failure why, uint64_t began_ms,
		   uint64_t now_ms)
{
	struct server *s;

	pthread_mutex_lock(&u->lock);
	if (why != UPLINK_OURS)
		note_failure(u, server, began_ms, now_ms);
	s = find(u, server);
	assert(s && s->dials > 0);
	s->dials--;
	if (why == UPLINK_ANSWERED) /* the next one does not offer what may be the cause */
		leave(s);
	if (s->resumption == ASKED || why == UPLINK_ANSWERED)
		s->resumption = UNKNOWN;
	pthread_mutex_unlock(&u->lock);
}

unsigned uplink_forgetful(const struct uplink *u)
{
	return atomic_load_explicit(&u->forgetful, memory_order_relaxed);
}

unsigned uplink_forgotten(struct uplink *u, const struct addr *server)
{
	unsigned n = 0;

	pthread_mutex_lock(&u->lock);
	for (unsigned i = 0; i < REDIAL_SERVERS; i++)
		if (addr_equal(&u->server[i].addr, server))
			n = u->server[i].forgotten;
	pthread_mutex_unlock(&u->lock);
	return n;
}

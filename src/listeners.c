/* SPDX-License-Identifier: BSD-2-Clause */
#include "listeners.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "steer.h"
#include "udp.h"
#include "unixdgram.h"
#include "upstream_socket.h"

#define SOCKET_BUFFER (4 * 1024 * 1024)

enum state { FREE, SERVED, LEAVING };

struct listener {
	struct conf_listener at;  /* as it was configured, the path a copy */
	bool plain;               /* of a service that connects */
	enum state state;
	bool planned, opened;     /* by the plan under way */
	atomic_uint left;         /* by so many workers */
	struct udp_socket *group; /* one a worker, then as many for hellos or -1 in their place */
};

struct listeners {
	unsigned workers;
	bool lane;
	bool told; /* that there is none */
	struct listener listener[LISTENERS_MOST];
};

struct listeners *listeners_new(unsigned workers, bool hello_lane)
{
	struct listeners *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->workers = workers;
	l->lane = hello_lane;
	return l;
}

static void close_listener(struct listeners *l, struct listener *o)
{
	for (unsigned i = 0; i < 2 * l->workers; i++)
		if (o->group[i].named)
			unixdgram_close(o->group[i].fd, o->at.path);
		else
			udp_close(&o->group[i]);
	free(o->group);
	free((void *)(uintptr_t)o->at.path);
	memset(o, 0, sizeof(*o));
}

void listeners_free(struct listeners *l)
{
	for (unsigned i = 0; i < LISTENERS_MOST; i++)
		if (l->listener[i].state != FREE)
			close_listener(l, &l->listener[i]);
	free(l);
}

/* ---- opening ---- */

static void report_no_lane(struct listeners *l, const struct addr *a, int err)
{
	char where[ADDR_TEXT_MAX];

	if (!l->told)
		log_warning("%s: the kernel refuses the program that gives hellos a lane of their own (%s): a flood of "
			    "them can push out records; Linux 4.5 and later take it, --hello-lane no does without",
			    addr_format(a, where), strerror(-err));
	l->told = true;
}

/* Its peers stay on one worker: it is that worker's alone. */
static int open_named(struct listeners *l, struct listener *o, unsigned number, char *err, size_t err_size)
{
	struct udp_socket *s = &o->group[number % l->workers];
	int fd = unixdgram_open(o->at.path, err, err_size);

	for (unsigned i = 0; i < 2 * l->workers; i++)
		o->group[i].fd = -1;
	if (fd < 0)
		return fd;
	s->fd = fd;
	s->listener = number;
	s->named = true;
	return 0;
}

static int open_group(struct listeners *l, struct listener *o, unsigned number, char *err, size_t err_size)
{
	bool lane = l->lane && !o->plain;
	unsigned n = l->workers;
	int rc;

	if (o->at.path)
		return open_named(l, o, number, err, err_size);
	rc = udp_open(o->group, lane ? 2 * n : n, &o->at.addr, number, SOCKET_BUFFER, SOCKET_BUFFER, err, err_size);
	if (rc < 0)
		return rc;
	if (!lane) {
		for (unsigned i = n; i < 2 * n; i++)
			o->group[i].fd = -1;
		return 0;
	}
	rc = steer_attach(o->group, n);
	if (rc < 0) {
		report_no_lane(l, &o->group[0].bound, rc);
		for (unsigned i = n; i < 2 * n; i++)
			udp_close(&o->group[i]);
	}
	return 0;
}

static int open_listener(struct listeners *l, const struct conf_listener *c, bool plain, unsigned number, char *err,
			 size_t err_size)
{
	struct listener *o = &l->listener[number];
	int rc = -ENOMEM;

	*o = (struct listener){ .at = *c, .plain = plain };
	o->at.path = c->path ? strdup(c->path) : NULL;
	o->group = calloc((size_t)2 * l->workers, sizeof(*o->group));
	snprintf(err, err_size, "out of memory");
	if (o->group && (o->at.path || !c->path))
		rc = open_group(l, o, number, err, err_size);
	if (rc < 0) {
		free(o->group);
		free((void *)(uintptr_t)o->at.path);
		memset(o, 0, sizeof(*o));
		return rc;
	}
	o->state = SERVED;
	o->planned = o->opened = true;
	return 0;
}

/* ---- plans ---- */

static int no_place(const struct conf_listener *c, int rc, const char *why, char *err, size_t err_size)
{
	char where[CONF_PLACE_TEXT], text[CONF_LISTENER_TEXT];

	snprintf(err, err_size, "%scannot listen on %s: %s", conf_place_text(&c->place, where),
		 conf_listener_text(c, text), why);
	return rc;
}

static int no_place_beside(const struct conf_listener *c, const struct conf_listener *served, char *err,
			   size_t err_size)
{
	char text[CONF_LISTENER_TEXT], why[CONF_LISTENER_TEXT + 100];

	snprintf(why, sizeof(why), "dtlsd itself is still at %s, which has it, too: reload without either, and "
		 "then with this one", conf_listener_text(served, text));
	return no_place(c, -EBUSY, why, err, err_size);
}

/* The number of an address, -errno. */
static int place_address(struct listeners *l, const struct conf_listener *c, bool plain, char *err, size_t err_size)
{
	char where[CONF_PLACE_TEXT], why[300];
	int found = -1, rc;

	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		struct listener *o = &l->listener[i];

		if (o->state == FREE && found < 0)
			found = (int)i;
		if (o->state == FREE || o->planned || !conf_listeners_clash(&o->at, c))
			continue;
		if (!conf_same_listener(&o->at, c))
			return no_place_beside(c, &o->at, err, err_size);
		if (o->state == LEAVING)
			return no_place(c, -EBUSY, "it is about to be left, as you asked before; reload again", err,
					err_size);
		if (o->plain != plain)
			return no_place(c, -EBUSY, "a service that connects and one that serves cannot take over from each "
					"other; take it out, reload, and put it in anew", err, err_size);
		o->planned = true;
		return (int)i;
	}
	if (found < 0)
		return no_place(c, -ENOSPC, "too many addresses are about to be left; reload again", err, err_size);
	rc = open_listener(l, c, plain, (unsigned)found, why, sizeof(why));
	if (rc < 0)
		snprintf(err, err_size, "%s%s", conf_place_text(&c->place, where), why);
	return rc < 0 ? rc : found;
}

/* With the port left open, as dtlsd may be serving it. */
static int check_address(const struct conf_listener *c, char *err, size_t err_size)
{
	struct addr any = c->addr;
	int rc;

	any.port = 0;
	rc = c->path ? 0 : upstream_try_source(&any);
	if (rc == 0)
		return 0;
	return no_place(c, rc, rc != -ENXIO ? strerror(-rc) :
			"this machine has no such address (\"ip address\" shows those it has)", err, err_size);
}

int listeners_check(const struct conf *c, char *err, size_t err_size)
{
	int rc = 0;

	for (unsigned i = 0; i < c->service_count && rc == 0; i++)
		for (unsigned j = 0; j < c->services[i]->listener_count && rc == 0; j++)
			rc = check_address(&c->services[i]->listeners[j], err, err_size);
	return rc;
}

int listeners_plan(struct listeners *l, const struct conf *c, int service[static LISTENERS_MOST], char *err,
		   size_t err_size)
{
	for (unsigned i = 0; i < LISTENERS_MOST; i++)
		service[i] = -1;
	for (unsigned i = 0; i < c->service_count; i++)
		for (unsigned j = 0; j < c->services[i]->listener_count; j++) {
			const struct conf_service *s = c->services[i];
			int n = place_address(l, &s->listeners[j], conf_connects(s), err, err_size);

			if (n < 0) {
				listeners_undo(l);
				return n;
			}
			service[n] = (int)i;
		}
	return 0;
}

void listeners_undo(struct listeners *l)
{
	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		struct listener *o = &l->listener[i];

		if (o->opened)
			close_listener(l, o);
		o->planned = false;
	}
}

void listeners_commit(struct listeners *l)
{
	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		struct listener *o = &l->listener[i];

		if (o->state == SERVED && !o->planned)
			o->state = LEAVING;
		o->planned = o->opened = false;
	}
}

void listeners_sockets(const struct listeners *l, unsigned worker, struct worker_settings *s)
{
	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		const struct listener *o = &l->listener[i];

		s->sockets[i].fd = s->hello_sockets[i].fd = -1;
		if (!o->opened)
			continue;
		s->sockets[i] = o->group[worker];
		s->hello_sockets[i] = o->group[l->workers + worker];
	}
}

const char *listeners_text(const struct listeners *l, unsigned number, char buf[static CONF_LISTENER_TEXT])
{
	const struct listener *o = &l->listener[number];

	assert(o->state != FREE);
	return o->at.path ? conf_listener_text(&o->at, buf) : addr_format(&o->group[0].bound, buf);
}

void listeners_left(struct listeners *l, unsigned number)
{
	atomic_fetch_add(&l->listener[number].left, 1);
}

void listeners_reap(struct listeners *l)
{
	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		struct listener *o = &l->listener[i];
		char text[CONF_LISTENER_TEXT];

		if (o->state != LEAVING || atomic_load(&o->left) < l->workers)
			continue;
		listeners_text(l, i, text);
		close_listener(l, o);
		log_notice("no longer serving on %s", text);
	}
}

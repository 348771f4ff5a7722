/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bus_message *new_message(enum bus_kind kind, size_t text)
{
	struct bus_message *m = calloc(1, sizeof(*m) + text);

	if (m)
		m->kind = kind;
	return m;
}

struct bus_message *bus_broadcast(const uint8_t *data, size_t len)
{
	struct bus_message *m = new_message(BUS_BROADCAST, len);

	if (m) {
		memcpy(m->text, data, len);
		m->len = len;
	}
	return m;
}

struct bus_message *bus_roster(unsigned origin, const struct session *asker)
{
	struct bus_message *m = new_message(BUS_ROSTER, BUS_TEXT_MAX);

	if (m) {
		m->origin = origin;
		m->asker = asker->node.flow;
		m->serial = asker->serial;
	}
	return m;
}

bool bus_roster_add(struct bus_message *m, const struct session *s)
{
	char peer[ADDR_TEXT_MAX];
	size_t room = BUS_TEXT_MAX - m->len;
	int n;

	if (m->listed == BUS_LISTED_MAX)
		return false;
	n = snprintf((char *)m->text + m->len, room,
		     "%s age %" PRIu64 " s, in %" PRIu64 " records %" PRIu64 " bytes, out %" PRIu64
		     " records %" PRIu64 " bytes\n",
		     addr_format(&s->node.flow.peer, peer), (s->env->now - s->opened_at) / 1000, s->records_in,
		     s->bytes_in, s->records_out, s->bytes_out);
	if (n < 0 || (size_t)n >= room)
		return false;
	m->len += (size_t)n;
	m->listed++;
	return true;
}

size_t bus_roster_text(const struct bus_message *m, char *out, size_t size)
{
	int n = snprintf(out, size, "%" PRIu64 " session%s\n%.*s", m->sessions, m->sessions == 1 ? "" : "s",
			 (int)m->len, (const char *)m->text);
	size_t at = n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;

	if (m->sessions > m->listed) {
		n = snprintf(out + at, size - at, "and %" PRIu64 " more\n", m->sessions - m->listed);
		at += n < 0 ? 0 : (size_t)n < size - at ? (size_t)n : size - at - 1;
	}
	return at;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "about_text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "escape.h"
#include "tls_about.h"

#define VALUE_MOST 512

struct writer {
	char *out;
	size_t len;
	unsigned count;
};

static void add(struct writer *w, const char *name, const char *value)
{
	char safe[VALUE_MOST];

	if (!value || !*value)
		return;
	escape_text(safe, sizeof(safe), value, strlen(value));
	w->len += (size_t)snprintf(w->out + w->len, ABOUT_TEXT_MAX - w->len, "%s=%s", name, safe) + 1;
	assert(w->len <= ABOUT_TEXT_MAX);
	w->count++;
}

size_t about_text(const struct session *s, uint64_t id, char out[static ABOUT_TEXT_MAX], unsigned *count)
{
	const struct tls_about *about = session_env(s)->about;
	char peer[ADDR_TEXT_MAX], local[ADDR_TEXT_MAX], number[24];
	struct writer w = { .out = out };

	snprintf(number, sizeof(number), "%016" PRIx64, id);
	add(&w, "DTLSD_SESSION", number);
	add(&w, "DTLSD_PEER", addr_format(&s->node.flow.peer, peer));
	add(&w, "DTLSD_LOCAL", addr_format(&s->node.flow.local, local));
	add(&w, "DTLSD_IDENTITY", session_identity(s));
	add(&w, "DTLSD_ALPN", session_alpn(s));
	add(&w, "DTLSD_SNI", about->server_name);
	add(&w, "DTLSD_COMMON_NAME", about->common_name);
	add(&w, "DTLSD_SUITE", about->cipher);
	*count = w.count;
	return w.len;
}

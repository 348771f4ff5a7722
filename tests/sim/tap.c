/* SPDX-License-Identifier: BSD-2-Clause */
#include "tap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire.h"

static bool tap_sees(void *ctx, const struct flow *flow, bool to_server, const uint8_t *data, size_t len)
{
	struct tap *t = ctx;
	enum deed deed;

	if (!to_server || (t->only && !flow_equal(&t->only->flow, flow)) ||
	    (t->spare && flow_equal(&t->spare->flow, flow)))
		return false;
	deed = t->judge(t, data, len);
	if (deed != KEEP)
		return deed == DROP;
	assert_true(t->kept < TAP_KEPT_MAX && len <= sizeof(t->packet[0].data));
	t->packet[t->kept].flow = *flow;
	t->packet[t->kept].len = len;
	memcpy(t->packet[t->kept++].data, data, len);
	return true;
}

struct tap *tap_new(struct world *w, enum deed (*judge)(struct tap *t, const uint8_t *data, size_t len))
{
	struct tap *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->w = w;
	t->judge = judge;
	w->net.tap = tap_sees;
	w->net.tap_ctx = t;
	return t;
}

void tap_off(struct tap *t)
{
	t->w->net.tap = NULL;
}

void tap_free(struct tap *t)
{
	tap_off(t);
	free(t);
}

void tap_inject(struct world *w, const struct flow *flow, const void *data, size_t len)
{
	bool (*tap)(void *ctx, const struct flow *f, bool up, const uint8_t *d, size_t n) = w->net.tap;

	w->net.tap = NULL;
	net_send(&w->net, flow, true, data, len);
	w->net.tap = tap;
}

void tap_release(struct tap *t, unsigned i)
{
	tap_inject(t->w, &t->packet[i].flow, t->packet[i].data, t->packet[i].len);
}

size_t next_record(const uint8_t *data, size_t len, size_t at)
{
	assert_true(at + DTLS_RECORD_HEADER <= len);
	return at + DTLS_RECORD_HEADER + wire_get16(data + at + 11);
}

bool has_record(const uint8_t *data, size_t len, uint8_t type, uint16_t epoch)
{
	for (size_t at = 0; at < len; at = next_record(data, len, at))
		if (data[at] == type && wire_get16(data + at + 3) == epoch)
			return true;
	return false;
}

bool is_hello(const uint8_t *data, size_t len)
{
	return len > 61 && data[0] == DTLS_HANDSHAKE && wire_get16(data + 3) == 0 &&
	       data[DTLS_RECORD_HEADER] == DTLS_CLIENT_HELLO;
}

bool has_cookie(const uint8_t *data, size_t len)
{
	return is_hello(data, len) && data[60 + data[59]] > 0;
}

enum deed keep_after_hello(struct tap *t, const uint8_t *data, size_t len)
{
	(void)t;
	return is_hello(data, len) ? PASS : KEEP;
}

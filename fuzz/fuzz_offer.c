/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offer: what is taken out of a ClientHello lies in it, and what is said of it is one line of printable
 * text, however short the buffer is.
 * The input is the length of that buffer, and the hello's body.
 */
#include <assert.h>
#include <stdlib.h>

#include "fuzz.h"
#include "tls_offer.h"

#define SERVED "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CIPHER-ALL:+AES-128-GCM"

static gnutls_priority_t served(void)
{
	static gnutls_priority_t p;

	if (!p)
		assert(gnutls_priority_init(&p, SERVED, NULL) == 0);
	return p;
}

static void check_list(const struct tls_offer_list *l, const uint8_t *body, size_t len)
{
	assert(!l->len || l->data);
	assert(!l->data || (l->data >= body && l->data + l->len <= body + len));
}

static void check_text(const char *text, size_t size)
{
	assert(strnlen(text, size) < size);
	for (; *text; text++)
		assert((unsigned char)*text >= ' ' && *text != 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	size_t room = 16 + (size_t)fuzz_u8(&in), len = in.left;
	uint8_t *body = fuzz_copy(in.at, len);
	char *text = calloc(1, room);
	struct tls_offer o;

	assert(body && text);
	tls_offer_parse(&o, body, len);
	check_list(&o.suites, body, len);
	check_list(&o.groups, body, len);
	check_list(&o.signatures, body, len);
	check_list(&o.protocols, body, len);
	check_list(&o.server_types, body, len);
	assert(!o.groups.len || o.groups.data > o.suites.data);
	tls_offer_explain_suites(&o, served(), text, room);
	check_text(text, room);
	text[0] = '\0';
	tls_offer_explain_protocols(&o, text, room);
	check_text(text, room);
	free(text);
	free(body);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "feeder.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <gnutls/dtls.h>

#include "wire.h"

#define CALLS_MAX 64 /* of gnutls_handshake for one record */

/* ---- the transport ---- */

static ssize_t pull(gnutls_transport_ptr_t ptr, void *buf, size_t size)
{
	struct feeder *f = ptr;
	size_t n = f->len;

	if (!f->data) {
		f->starved = true;
		gnutls_transport_set_errno(f->session, EAGAIN);
		return -1;
	}
	assert(n > 0 && n <= size);
	memcpy(buf, f->data, n);
	f->data = NULL;
	return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	struct feeder *f = ptr;

	(void)ms;
	if (!f->data)
		f->starved = true;
	return f->data != NULL;
}

/* An error here would end the session: all is taken. */
static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	struct feeder *f = ptr;

	f->said(f->ctx, data, len);
	return (ssize_t)len;
}

void feeder_attach(struct feeder *f)
{
	gnutls_transport_set_ptr(f->session, f);
	gnutls_transport_set_push_function(f->session, push);
	gnutls_transport_set_pull_function(f->session, pull);
	gnutls_transport_set_pull_timeout_function(f->session, pull_timeout);
}

/* ---- records ---- */

int feeder_record(struct feeder *f, const uint8_t *record, size_t len)
{
	int err = GNUTLS_E_AGAIN;

	f->data = record;
	f->len = len;
	f->starved = false;
	for (unsigned i = 0; i < CALLS_MAX && err != GNUTLS_E_SUCCESS && !f->starved; i++) {
		err = gnutls_handshake(f->session);
		if (err < 0 && gnutls_error_is_fatal(err))
			break;
	}
	f->data = NULL;
	return err == GNUTLS_E_SUCCESS || gnutls_error_is_fatal(err) ? err : GNUTLS_E_AGAIN;
}

/* Behind the header, in scratch, lies the body. */
static int feed(struct feeder *f, uint8_t type, uint16_t version, size_t len)
{
	uint8_t *p = f->scratch;

	p[0] = type;
	wire_put16(p + 1, version);
	wire_put16(p + 3, 0);
	wire_put48(p + 5, f->seq++);
	wire_put16(p + 11, (uint16_t)len);
	return feeder_record(f, p, DTLS_RECORD_HEADER + len);
}

int feeder_message(struct feeder *f, const uint8_t *msg, size_t len, uint16_t version)
{
	const size_t most = DTLS_PLAINTEXT_MAX - DTLS_HANDSHAKE_HEADER;
	size_t total = len - DTLS_HANDSHAKE_HEADER, at = 0;
	uint8_t *body = f->scratch + DTLS_RECORD_HEADER;
	int err;

	do {
		size_t n = total - at < most ? total - at : most;

		memcpy(body, msg, DTLS_HANDSHAKE_HEADER);
		wire_put24(body + 6, (uint32_t)at);
		wire_put24(body + 9, (uint32_t)n);
		memcpy(body + DTLS_HANDSHAKE_HEADER, msg + DTLS_HANDSHAKE_HEADER + at, n);
		at += n;
		err = feed(f, DTLS_HANDSHAKE, version, DTLS_HANDSHAKE_HEADER + n);
	} while (err == GNUTLS_E_AGAIN && at < total);
	return err;
}

int feeder_ccs(struct feeder *f)
{
	f->scratch[DTLS_RECORD_HEADER] = 1;
	return feed(f, DTLS_CHANGE_CIPHER_SPEC, DTLS_VERSION_1_2, 1);
}

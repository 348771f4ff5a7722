/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <gnutls/dtls.h>

#include "classify.h"
#include "keys.h"
#include "wire.h"

/* ---- the transport that GnuTLS sees */

static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t size)
{
	struct tls_client *t = ptr;
	size_t len = t->fed_len;

	t->fed_len = 0;
	if (len == 0 || len > size) {
		gnutls_transport_set_errno(t->session, EAGAIN);
		return -1;
	}
	memcpy(data, t->fed, len);
	return (ssize_t)len;
}

/* GnuTLS wants this function in non-blocking mode too. */
static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
	struct tls_client *t = ptr;

	(void)ms;
	return t->fed_len > 0;
}

static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	struct tls_client *t = ptr;

	t->emit(t->ctx, data, len);
	return (ssize_t)len;
}

/* GnuTLS keeps a truncated record and appends the next datagram to it: only whole records go in. */
static bool is_record_chain(uint8_t *data, size_t len)
{
	enum record_kind kind;
	struct record r;
	size_t at = 0;

	do
		kind = classify_record(data, len, &at, &r);
	while (kind != RECORD_END && kind != RECORD_MALFORMED);
	return kind == RECORD_END && len > 0;
}

/* ---- the handshake */

static enum shake_verdict fail(struct tls_client *t, int ret)
{
	gnutls_alert_description_t alert = gnutls_alert_get(t->session);
	const char *name = gnutls_alert_get_name(alert);

	if (ret == GNUTLS_E_FATAL_ALERT_RECEIVED)
		snprintf(t->why, sizeof(t->why), "the server's alert %d, %s", (int)alert, name ? name : "unknown");
	else if (ret == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
		cred_describe_refusal(&t->setup->cred, t->session, t->why, sizeof(t->why));
	else
		snprintf(t->why, sizeof(t->why), "%s", gnutls_strerror(ret));
	return SHAKE_FAILED;
}

static enum shake_verdict step(struct tls_client *t)
{
	int ret;

	do
		ret = gnutls_handshake(t->session);
	while (ret == GNUTLS_E_WARNING_ALERT_RECEIVED || ret == GNUTLS_E_GOT_APPLICATION_DATA);
	if (ret == GNUTLS_E_SUCCESS)
		return SHAKE_DONE;
	return gnutls_error_is_fatal(ret) ? fail(t, ret) : SHAKE_WAIT;
}

static int session_new(struct tls_client *t)
{
	const struct tls_setup *setup = t->setup;
	unsigned flags = GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK;
	int ret = gnutls_init(&t->session, flags | (setup->tickets ? 0 : GNUTLS_NO_TICKETS));

	if (ret == 0)
		ret = cred_apply(&setup->cred, t->session, setup->verify);
	if (ret == 0 && setup->resume.size)
		ret = gnutls_session_set_data(t->session, setup->resume.data, setup->resume.size);
	if (ret != 0)
		return ret;
	gnutls_dtls_set_mtu(t->session, setup->mtu);
	gnutls_dtls_set_timeouts(t->session, setup->retransmit_ms, setup->timeout_ms);
	gnutls_transport_set_ptr(t->session, t);
	gnutls_transport_set_pull_function(t->session, pull);
	gnutls_transport_set_pull_timeout_function(t->session, pull_timeout);
	gnutls_transport_set_push_function(t->session, push);
	return 0;
}

enum shake_verdict tls_begin(struct tls_client *t, const struct tls_setup *setup, tls_emit *emit, void *ctx)
{
	int ret;

	*t = (struct tls_client){ .setup = setup, .emit = emit, .ctx = ctx };
	ret = session_new(t);
	if (ret != 0) {
		snprintf(t->why, sizeof(t->why), "%s", gnutls_strerror(ret));
		return SHAKE_FAILED;
	}
	return step(t);
}

enum shake_verdict tls_feed(struct tls_client *t, uint8_t *data, size_t len)
{
	enum shake_verdict v;

	if (!is_record_chain(data, len))
		return SHAKE_WAIT;
	t->fed = data;
	t->fed_len = len;
	v = step(t);
	if (v == SHAKE_WAIT && t->fed_len > 0) /* it was busy with what it had buffered */
		v = step(t);
	t->fed_len = 0;
	return v;
}

enum shake_verdict tls_again(struct tls_client *t)
{
	return step(t);
}

bool tls_take(struct tls_client *t, struct record_state *record, bool *resumed)
{
	enum record_cipher c = record_cipher_from_gnutls((int)gnutls_cipher_get(t->session));
	struct record_direction in, out;
	uint64_t read_seq, write_seq;

	if (c == RECORD_CIPHER_NONE || !keys_take(t->session, true, c, &in, &read_seq) ||
	    !keys_take(t->session, false, c, &out, &write_seq)) {
		snprintf(t->why, sizeof(t->why), "%s: only AEAD ciphers can be taken over: see --priority",
			 gnutls_cipher_get_name(gnutls_cipher_get(t->session)));
		return false;
	}
	/* nothing counts as seen: the server's first record may have overtaken its Finished */
	record_init(record, c, &in, read_seq & ~DTLS_SEQ_MAX, &out, write_seq);
	gnutls_memset(&in, 0, sizeof(in));
	gnutls_memset(&out, 0, sizeof(out));
	*resumed = gnutls_session_is_resumed(t->session) != 0;
	return true;
}

int tls_save(struct tls_client *t, gnutls_datum_t *out)
{
	return gnutls_session_get_data2(t->session, out);
}

void tls_end(struct tls_client *t)
{
	if (t->session)
		gnutls_deinit(t->session);
	t->session = NULL;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy2.h"

#include <assert.h>
#include <string.h>

#include "wire.h"

enum {
	VERSION_2_PROXY = 0x21,
	FAMILY_UNSPEC = 0x00,
	FAMILY_UDP_IPV4 = 0x12,
	FAMILY_UDP_IPV6 = 0x22
};

enum type {
	TYPE_ALPN = 0x01,
	TYPE_AUTHORITY = 0x02,
	TYPE_SSL = 0x20,
	TYPE_SSL_VERSION = 0x21,
	TYPE_SSL_CN = 0x22,
	TYPE_SSL_CIPHER = 0x23
};

enum {
	CLIENT_SSL = 0x01,       /* it came over TLS */
	CLIENT_CERT_CONN = 0x02, /* with a certificate in this handshake or the one that it resumes */
	CLIENT_CERT_SESS = 0x04
};

static const uint8_t signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

struct writer {
	uint8_t *at;
};

static void put(struct writer *w, const void *data, size_t len)
{
	memcpy(w->at, data, len);
	w->at += len;
}

static void put16(struct writer *w, size_t n)
{
	wire_put16(w->at, (uint16_t)n);
	w->at += 2;
}

static void put_tlv(struct writer *w, uint8_t type, const void *value, size_t len)
{
	if (len == 0 || len > PROXY2_TEXT_MOST)
		return;
	put(w, &type, 1);
	put16(w, len);
	put(w, value, len);
}

static void put_text(struct writer *w, uint8_t type, const char *text)
{
	if (text)
		put_tlv(w, type, text, strlen(text));
}

static uint8_t put_addresses(struct writer *w, const struct flow *flow)
{
	const struct addr *peer, *local;
	bool ipv4;

	if (!flow || flow->peer.family != flow->local.family)
		return FAMILY_UNSPEC;
	peer = &flow->peer;
	local = &flow->local;
	ipv4 = peer->family == AF_INET;
	put(w, peer->ip + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);
	put(w, local->ip + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);
	put16(w, peer->port);
	put16(w, local->port);
	return ipv4 ? FAMILY_UDP_IPV4 : FAMILY_UDP_IPV6;
}

/* struct pp2_tlv_ssl: client bits, verify (0: good), and TLVs of its own. */
static void put_ssl(struct writer *w, const struct proxy2 *p)
{
	const uint8_t type = TYPE_SSL;
	uint8_t client = CLIENT_SSL, *length;

	if (p->certificate)
		client |= CLIENT_CERT_CONN | CLIENT_CERT_SESS;
	put(w, &type, 1);
	length = w->at;
	w->at += 2;
	put(w, &client, 1);
	put16(w, 0);
	put16(w, p->certificate && p->verified ? 0 : 1);
	put_text(w, TYPE_SSL_VERSION, p->version);
	put_text(w, TYPE_SSL_CN, p->common_name);
	put_text(w, TYPE_SSL_CIPHER, p->cipher);
	wire_put16(length, (uint16_t)(w->at - length - 2));
}

size_t proxy2_write(const struct proxy2 *p, uint8_t out[static PROXY2_MAX])
{
	struct writer w = { out + 16 };

	memcpy(out, signature, sizeof(signature));
	out[12] = VERSION_2_PROXY;
	out[13] = put_addresses(&w, p->flow);
	put_text(&w, TYPE_ALPN, p->alpn);
	put_text(&w, TYPE_AUTHORITY, p->authority);
	put_ssl(&w, p);
	put_tlv(&w, PROXY2_TYPE_PSK_IDENTITY, p->psk_identity, p->psk_identity_len);
	wire_put16(out + 14, (uint16_t)(w.at - out - 16));
	assert(w.at <= out + PROXY2_MAX);
	return (size_t)(w.at - out);
}

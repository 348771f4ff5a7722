/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proxy2: whatever a client told of itself, a reader that knows nothing of the writer finds in the header all that is
 * not too long, byte for byte, and nothing else.
 * The input is what is known of the client.
 */
#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fuzz.h"
#include "proxy2.h"

#define TEXT_MOST 300 /* more than what is told */

enum text { ALPN, AUTHORITY, VERSION, CIPHER, COMMON_NAME, IDENTITY, TEXTS };

/* type numbers of the specification, section 2.2 */
static const uint8_t TYPES[TEXTS] = { 0x01, 0x02, 0x21, 0x23, 0x22, PROXY2_TYPE_PSK_IDENTITY };

struct known {
	struct flow flow;
	bool flow_is_known;
	char *text[TEXTS]; /* NULL: not known */
	size_t len[TEXTS];
	unsigned found[TEXTS];
};

static void read_addr(struct fuzz_input *in, struct addr *a)
{
	size_t len = 16;
	const uint8_t *ip;

	*a = (struct addr){ .family = fuzz_u8(in) % 2 ? AF_INET6 : AF_INET, .port = fuzz_u16(in) };
	ip = fuzz_bytes(in, &len);
	memcpy(a->ip, ip, len);
}

static void read_text(struct fuzz_input *in, struct known *k, enum text t)
{
	size_t len = fuzz_u16(in) % TEXT_MOST;
	const uint8_t *bytes;

	if (len == 0)
		return;
	bytes = fuzz_bytes(in, &len);
	k->text[t] = calloc(1, len + 1);
	assert(k->text[t]);
	memcpy(k->text[t], bytes, len);
	k->len[t] = t == IDENTITY ? len : strlen(k->text[t]);
}

static size_t take16(const uint8_t **at, const uint8_t *end)
{
	assert(end - *at >= 2);
	*at += 2;
	return (size_t)(*at)[-2] << 8 | (*at)[-1];
}

static void take_tlvs(struct known *k, const struct proxy2 *p, const uint8_t *at, const uint8_t *end);

/* struct pp2_tlv_ssl */
static void take_ssl(struct known *k, const struct proxy2 *p, const uint8_t *at, const uint8_t *end)
{
	assert(end - at >= 5);
	assert(at[0] == (p->certificate ? 7 : 1));
	assert((at[1] | at[2] | at[3]) == 0 && at[4] == !(p->certificate && p->verified));
	take_tlvs(k, p, at + 5, end);
}

static void take_one(struct known *k, uint8_t type, const uint8_t *value, size_t len)
{
	for (int t = 0; t < TEXTS; t++)
		if (TYPES[t] == type) {
			assert(k->text[t] && len == k->len[t] && memcmp(k->text[t], value, len) == 0);
			k->found[t]++;
			return;
		}
	assert(!"a type that nobody gave");
}

static void take_tlvs(struct known *k, const struct proxy2 *p, const uint8_t *at, const uint8_t *end)
{
	while (at < end) {
		uint8_t type = *at++;
		size_t len = take16(&at, end);

		assert(len <= (size_t)(end - at));
		if (type == 0x20)
			take_ssl(k, p, at, at + len);
		else
			take_one(k, type, at, len);
		at += len;
	}
}

/* The length of the addresses. */
static size_t check_addresses(const struct known *k, uint8_t family, const uint8_t *at)
{
	const struct addr *peer = &k->flow.peer, *local = &k->flow.local;
	size_t size = peer->family == AF_INET ? 4 : 16, skip = 16 - size;

	if (!k->flow_is_known || peer->family != local->family) {
		assert(family == 0);
		return 0;
	}
	assert(family == (size == 4 ? 0x12 : 0x22));
	assert(memcmp(at, peer->ip + skip, size) == 0 && memcmp(at + size, local->ip + skip, size) == 0);
	at += 2 * size;
	assert((at[0] << 8 | at[1]) == peer->port && (at[2] << 8 | at[3]) == local->port);
	return 2 * size + 4;
}

static void check_header(struct known *k, const struct proxy2 *p, const uint8_t *out, size_t len)
{
	const uint8_t *at = out + 16;

	assert(len >= 16 && len <= PROXY2_MAX);
	assert(memcmp(out, "\r\n\r\n\0\r\nQUIT\n", 12) == 0 && out[12] == 0x21);
	assert((size_t)(out[14] << 8 | out[15]) == len - 16);
	take_tlvs(k, p, at + check_addresses(k, out[13], at), out + len);
	for (int t = 0; t < TEXTS; t++)
		assert(k->found[t] == (k->len[t] > 0 && k->len[t] <= PROXY2_TEXT_MOST));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t how = fuzz_u8(&in), *out = malloc(PROXY2_MAX);
	struct known k = { .flow_is_known = how & 1 };
	struct proxy2 p = { .flow = k.flow_is_known ? &k.flow : NULL, .certificate = how & 2, .verified = how & 4 };

	assert(out);
	read_addr(&in, &k.flow.peer);
	read_addr(&in, &k.flow.local);
	for (int t = 0; t < TEXTS; t++)
		read_text(&in, &k, (enum text)t);
	p.alpn = k.text[ALPN];
	p.authority = k.text[AUTHORITY];
	p.version = k.text[VERSION];
	p.cipher = k.text[CIPHER];
	p.common_name = k.text[COMMON_NAME];
	p.psk_identity = (const uint8_t *)k.text[IDENTITY];
	p.psk_identity_len = k.len[IDENTITY];
	check_header(&k, &p, out, proxy2_write(&p, out));
	for (int t = 0; t < TEXTS; t++)
		free(k.text[t]);
	free(out);
	return 0;
}

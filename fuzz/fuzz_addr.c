/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * addr: an address that is taken survives being written and read again, and the kernel's form and back; one
 * that is not is explained.
 * The input is a choice, and a text or the bytes of a sockaddr.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "fuzz.h"

static void check_addr(const struct addr *a)
{
	char text[ADDR_TEXT_MAX], err[400];
	struct sockaddr_storage ss;
	struct addr again;
	socklen_t len;

	assert(a->family == AF_INET || a->family == AF_INET6);
	memset(text, 'x', sizeof(text));
	assert(addr_format(a, text) == text && memchr(text, '\0', sizeof(text)));
	len = addr_to_sockaddr(a, &ss);
	assert(len > 0 && addr_from_sockaddr(&again, (const struct sockaddr *)&ss, len) == 0);
	assert(addr_equal(a, &again));
	/* what the kernel gives without a zone for a link-local address cannot be written down */
	if (a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80 && a->scope == 0 && a->family == AF_INET6)
		return;
	if (strncmp(text, "[::ffff:", 8) == 0 && strchr(text, '.')) /* is read as IPv4 */
		return;
	assert(addr_parse(text, 1, &again, 1, err, sizeof(err)) == 1 && addr_equal(a, &again));
}

static void check_prefix(const struct addr *a, uint8_t bits)
{
	struct addr p = addr_prefix(a, bits % 129), again = addr_prefix(&p, bits % 129), near = *a;

	assert(addr_equal(&p, &again) && p.port == 0);
	near.port ^= 1;
	if (a->family == AF_INET6 && bits % 129 < 128)
		near.ip[15] ^= 1;
	near = addr_prefix(&near, bits % 129);
	assert(addr_equal(&p, &near));
}

static void check_text(const uint8_t *data, size_t size, uint8_t how)
{
	char *text = malloc(size + 1), err[400] = "";
	struct addr out[4];
	size_t max = 1 + how % 4;
	int n;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	memset(out, 0xa5, sizeof(out));
	n = addr_parse(text, how, out, max, err, sizeof(err));
	if (n < 0)
		assert(n == -EINVAL && err[0] && memchr(err, '\0', sizeof(err)));
	else
		assert(n > 0 && (size_t)n <= max);
	for (int i = 0; i < n; i++) {
		check_addr(&out[i]);
		check_prefix(&out[i], how);
		addr_is_wildcard(&out[i]);
		addr_is_loopback(&out[i]);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t how = fuzz_u8(&in);
	struct sockaddr *sa;
	struct addr a;

	if (how & 0x80) {
		sa = fuzz_copy(in.at, in.left);
		if (addr_from_sockaddr(&a, sa, (socklen_t)in.left) == 0) {
			check_addr(&a);
			check_prefix(&a, how);
		}
		free(sa);
	} else if (!memchr(in.at, '\0', in.left)) {
		check_text(in.at, in.left, how);
	}
	return 0;
}

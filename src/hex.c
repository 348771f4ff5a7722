/* SPDX-License-Identifier: BSD-2-Clause */
#include "hex.h"

#include <errno.h>

ssize_t hex_decode(uint8_t *out, size_t size, const char *text, size_t len)
{
	if (len % 2 != 0)
		return -EINVAL;
	if (len / 2 > size)
		return -EMSGSIZE;
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		*out++ = (uint8_t)(high << 4 | low);
	}
	return (ssize_t)(len / 2);
}

void hex_encode(char *out, const uint8_t *in, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* hex: bytes as hexadecimal digits, and back. */
#ifndef DTLSD_HEX_H
#define DTLSD_HEX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Its value, large and small letters alike; -1: it is none. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The number of bytes; -EINVAL: another character, or an odd number of them; -EMSGSIZE: out has no room for them. */
ssize_t hex_decode(uint8_t *out, size_t size, const char *text, size_t len);
/* Two small digits for each byte, and a NUL. */
void hex_encode(char *out, const uint8_t *in, size_t len);

#endif

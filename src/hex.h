/* SPDX-License-Identifier: BSD-2-Clause */
/* hex: digits of people's hexadecimal. */
#ifndef DTLSD_HEX_H
#define DTLSD_HEX_H

/* Its value, large and small letters alike; -1: it is none. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif

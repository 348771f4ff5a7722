/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz: what all targets share. A target takes any bytes and asserts what must hold for them. It is
 * linked with libFuzzer or AFL++ (configure --enable-fuzzers), else with replay.c.
 */
#ifndef DTLSD_FUZZ_H
#define DTLSD_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The target. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input read as a program: numbers and bytes until it ends, then zeros and nothing. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint8_t high = fuzz_u8(in);

	return (uint16_t)(high << 8 | fuzz_u8(in));
}

/* At most len bytes, *len says how many. */
static inline const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t *len)
{
	const uint8_t *at = in->at;

	*len = *len < in->left ? *len : in->left;
	in->at += *len;
	in->left -= *len;
	return at;
}

/* A copy of exactly that size, so that a sanitizer sees the first byte read beyond it. The caller frees. */
void *fuzz_copy(const void *data, size_t size);

#endif

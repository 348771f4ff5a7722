/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secret: a file that is taken gives the same secret each time, and another one when any bit of it changes; one
 * that is not gives nothing, and is explained in a line that quotes nothing of it.
 * The input is the file's mode, its length, which bit changes, and a text that is repeated to that length.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "secret.h"

static int file;
static char path[32];

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	file = memfd_create("secret", MFD_CLOEXEC);
	assert(file >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return 0;
}

static void write_file(const uint8_t *data, size_t len, mode_t mode)
{
	assert(ftruncate(file, 0) == 0 && fchmod(file, mode) == 0);
	assert(pwrite(file, data, len, 0) == (ssize_t)len);
}

static void check_taken(uint8_t *data, size_t len, unsigned bit, const uint8_t *secret)
{
	uint8_t again[SECRET_SIZE], other[SECRET_SIZE];
	char err[400];

	assert(secret_load(path, again, err, sizeof(err)) == 0);
	assert(memcmp(again, secret, SECRET_SIZE) == 0);
	data[bit / 8 % len] ^= (uint8_t)(1U << bit % 8);
	write_file(data, len, 0600);
	assert(secret_load(path, other, err, sizeof(err)) == 0);
	assert(memcmp(other, secret, SECRET_SIZE) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	mode_t mode = fuzz_u8(&in) | 0600;
	size_t len = fuzz_u16(&in) % (SECRET_MOST + 100);
	unsigned bit = fuzz_u16(&in);
	uint8_t *content = calloc(1, len + 1), secret[SECRET_SIZE], untouched[SECRET_SIZE];
	char err[400] = "";
	int rc;

	assert(content);
	for (size_t i = 0; i < len && in.left; i++)
		content[i] = in.at[i % in.left];
	write_file(content, len, mode);
	memset(untouched, 0xa5, sizeof(untouched));
	memcpy(secret, untouched, sizeof(secret));
	rc = secret_load(path, secret, err, sizeof(err));
	if (mode & 077)
		assert(rc == -EPERM);
	else
		assert(rc == (len >= SECRET_LEAST && len <= SECRET_MOST ? 0 : -EINVAL));
	if (rc == 0) {
		check_taken(content, len, bit, secret);
	} else {
		assert(memcmp(secret, untouched, sizeof(secret)) == 0);
		assert(strncmp(err, "cookie-secret ", 14) == 0 && strlen(err) < sizeof(err) - 1);
		assert(!strchr(err, '\n'));
	}
	free(content);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secret: the cookie secret in a file, so that it outlives the process: who was given a cookie before a
 * restart, or by another process with the same file, can go on with it.
 *
 * The file holds SECRET_LEAST to SECRET_MOST bytes of any kind. Whoever reads it can make cookies for
 * addresses that are not his, so a file that others may read is refused.
 */
#ifndef DTLSD_SECRET_H
#define DTLSD_SECRET_H

#include <stddef.h>
#include <stdint.h>

#define SECRET_SIZE 32
#define SECRET_LEAST 32
#define SECRET_MOST 4096

/* SECRET_SIZE random bytes from the system. 0 or -errno. */
int secret_random(uint8_t out[static SECRET_SIZE]);
/*
 * What the file's content hashes to. A file that does not exist is made, with random bytes and mode 0600, whole
 * or not at all; of several processes that make it at once, all use the same. 0, or -errno with err
 * saying what is wrong with which file and what to do.
 */
int secret_load(const char *path, uint8_t out[static SECRET_SIZE], char *err, size_t err_size);

#endif

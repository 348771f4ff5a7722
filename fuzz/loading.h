/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loading: what the targets share that load the files of a service. The files are in memory.
 */
#ifndef DTLSD_FUZZ_LOADING_H
#define DTLSD_FUZZ_LOADING_H

#include <stdbool.h>
#include <stddef.h>

#include "pki.h"
#include "tls.h"

#define LOADING_PATH 32
#define LOADING_ERROR 1024

/* A good identity, and the file of the fuzzer's own. */
enum loading_file { LOADING_CERT, LOADING_KEY, LOADING_CA, LOADING_OWN, LOADING_MORE }; /* the target's begin there */
#define LOADING_FILES (LOADING_MORE + 3)

struct loading {
	int fd[LOADING_FILES];
	char path[LOADING_FILES][LOADING_PATH];
	struct pki_pair ca, server;
	struct tls_shared *shared;
};

void loading_begin(struct loading *l);
void loading_write(struct loading *l, unsigned file, const void *data, size_t len);
/* What was loaded, once it has made a session. NULL: err says why. The caller lets go of it. */
struct tls *loading_try(struct loading *l, const struct tls_options *o, char err[static LOADING_ERROR]);

#endif

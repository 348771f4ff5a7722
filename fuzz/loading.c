/* SPDX-License-Identifier: BSD-2-Clause */
#include "loading.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

static void make_file(struct loading *l, unsigned file)
{
	l->fd[file] = memfd_create("fuzz", MFD_CLOEXEC);
	assert(l->fd[file] >= 0);
	snprintf(l->path[file], LOADING_PATH, "/proc/self/fd/%d", l->fd[file]);
}

void loading_begin(struct loading *l)
{
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	log_open(LOG_TO_STDERR, LOG_ERROR_, "fuzz");
	for (unsigned i = 0; i < LOADING_FILES; i++)
		make_file(l, i);
	l->ca = pki_ca("CA");
	l->server = pki_issue(&l->ca, "server", GNUTLS_PK_ECDSA, "localhost");
	pki_write_cert(&l->server, NULL, l->path[LOADING_CERT]);
	pki_write_key(&l->server, l->path[LOADING_KEY]);
	pki_write_cert(&l->ca, NULL, l->path[LOADING_CA]);
	l->shared = tls_shared_new(10, 60);
	assert(l->shared);
}

void loading_write(struct loading *l, unsigned file, const void *data, size_t len)
{
	assert(ftruncate(l->fd[file], 0) == 0);
	assert(pwrite(l->fd[file], data, len, 0) == (ssize_t)len);
}

struct tls *loading_try(struct loading *l, const struct tls_options *o, char err[static LOADING_ERROR])
{
	struct tls *t;
	struct tls_report report;
	gnutls_session_t s;

	err[0] = '\0';
	t = tls_load(o, l->shared, err, LOADING_ERROR);
	if (t) {
		assert(tls_session_new(t, &report, &s) == 0);
		gnutls_deinit(s);
	} else {
		assert(err[0] && memchr(err, '\0', LOADING_ERROR));
	}
	return t;
}

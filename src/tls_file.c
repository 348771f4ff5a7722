/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define FILE_SIZE_MAX (64u << 20)

int tls_fail(const struct tls_error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->text, e->size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void tls_wipe(gnutls_datum_t *d)
{
	if (d->data != NULL)
		explicit_bzero(d->data, d->size);
	free(d->data);
	*d = (gnutls_datum_t){ NULL, 0 };
}

/* All that is left of fd; also of one that has no size, as a pipe. Leaves no copies behind in the heap. */
static int read_all(int fd, size_t expected, gnutls_datum_t *out)
{
	size_t room = expected + 1;

	for (;;) {
		gnutls_datum_t grown = { malloc(room), 0 };
		ssize_t n = 1;

		if (grown.data == NULL)
			return -ENOMEM;
		if (out->size > 0)
			memcpy(grown.data, out->data, out->size);
		grown.size = out->size;
		tls_wipe(out);
		*out = grown;
		while (out->size < room && n > 0) {
			n = read(fd, out->data + out->size, room - out->size);
			if (n < 0 && errno != EINTR)
				return -errno;
			out->size += n > 0 ? (unsigned)n : 0;
			n = n < 0 ? 1 : n;
		}
		if (n == 0) {
			out->data[out->size] = '\0';
			return 0;
		}
		if (room > FILE_SIZE_MAX)
			return -EFBIG;
		room = 2 * room + 4096;
	}
}

int tls_file_read(const struct tls_error *e, const char *path, const char *what, bool secret, gnutls_datum_t *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	int rc;

	*out = (gnutls_datum_t){ NULL, 0 };
	if (fd < 0)
		return tls_fail(e, "%s: cannot open the %s: %s; check the path and that dtlsd's user may read it",
			    path, what, strerror(errno));
	rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && S_ISREG(st.st_mode) && st.st_size > (off_t)FILE_SIZE_MAX)
		rc = -EFBIG;
	if (rc == 0)
		rc = read_all(fd, S_ISREG(st.st_mode) ? (size_t)st.st_size : 0, out);
	close(fd);
	if (rc < 0) {
		tls_wipe(out);
		return tls_fail(e, "%s: cannot read the %s: %s; give the name of a readable file", path, what,
			    strerror(-rc));
	}
	if (secret && (st.st_mode & S_IRWXO) != 0 && S_ISREG(st.st_mode))
		log_warning("%s: every user of this machine may access the %s; run: chmod o-rwx %s", path,
			    what, path);
	return 0;
}

int tls_file_names(const struct tls_error *e, const char *dashes, const char *option, const char *list,
		   struct names *out)
{
	switch (names_parse(out, list)) {
	case 0:
		return 0;
	case -EINVAL:
		return tls_fail(e, "%s%s %s: there is a comma with no name beside it; write one there or remove it",
				dashes, option, list);
	case -E2BIG:
		return tls_fail(e, "%s%s: more than %d names are listed; leave some out", dashes, option, NAMES_MOST);
	default:
		return tls_fail(e, "out of memory");
	}
}

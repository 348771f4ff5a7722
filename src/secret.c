/* SPDX-License-Identifier: BSD-2-Clause */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nettle/hmac.h>

#define SECRET_LABEL "dtlsd cookie secret file"

int secret_random(uint8_t out[static SECRET_SIZE])
{
	ssize_t n = getrandom(out, SECRET_SIZE, 0);

	return n == SECRET_SIZE ? 0 : n < 0 ? -errno : -EIO;
}

static int complain(char *err, size_t err_size, int error, const char *path, const char *advice)
{
	snprintf(err, err_size, "cookie-secret %s: %s; %s", path, strerror(error), advice);
	return -error;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* mkostemp's mode is 0600 whatever the umask, and a link appears with all its content or does not. */
static int make_file(const char *path)
{
	uint8_t fresh[SECRET_SIZE];
	char scratch[PATH_MAX];
	int fd, rc;

	if (snprintf(scratch, sizeof(scratch), "%s.XXXXXX", path) >= (int)sizeof(scratch))
		return -ENAMETOOLONG;
	rc = secret_random(fresh);
	if (rc < 0)
		return rc;
	fd = mkostemp(scratch, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, fresh, sizeof(fresh));
	explicit_bzero(fresh, sizeof(fresh));
	close(fd);
	/* another process may have been quicker: then its secret is the one */
	if (rc == 0 && link(scratch, path) < 0 && errno != EEXIST)
		rc = -errno;
	unlink(scratch);
	return rc;
}

static int check_file(int fd, const char *path, char *err, size_t err_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return complain(err, err_size, errno, path, "name another file");
	if (!S_ISREG(st.st_mode)) {
		snprintf(err, err_size, "cookie-secret %s: is not a regular file", path);
		return -EINVAL;
	}
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		snprintf(err, err_size,
			 "cookie-secret %s: belongs to user %u, not to dtlsd's user %u or root; "
			 "remove it and dtlsd makes a new one",
			 path, (unsigned)st.st_uid, (unsigned)geteuid());
		return -EPERM;
	}
	if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		snprintf(err, err_size,
			 "cookie-secret %s: others may read or write it (mode %04o); "
			 "if nobody has, chmod 600 it, else remove it and dtlsd makes a new one",
			 path, (unsigned)(st.st_mode & 07777));
		return -EPERM;
	}
	return 0;
}

static int read_file(int fd, uint8_t *data, size_t size, size_t *len)
{
	*len = 0;
	while (*len < size) {
		ssize_t n = read(fd, data + *len, size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return 0;
}

static int take(int fd, const char *path, uint8_t out[static SECRET_SIZE], char *err, size_t err_size)
{
	struct hmac_sha256_ctx hmac;
	uint8_t data[SECRET_MOST + 1];
	int rc = check_file(fd, path, err, err_size);
	size_t len;

	if (rc < 0)
		return rc;
	rc = read_file(fd, data, sizeof(data), &len);
	if (rc < 0) {
		complain(err, err_size, -rc, path, "name another file");
	} else if (len < SECRET_LEAST || len > SECRET_MOST) {
		snprintf(err, err_size,
			 "cookie-secret %s: holds %s%zu bytes, not %d to %d; remove it and dtlsd makes a new one",
			 path, len > SECRET_MOST ? "at least " : "", len, SECRET_LEAST, SECRET_MOST);
		rc = -EINVAL;
	} else {
		hmac_sha256_set_key(&hmac, sizeof(SECRET_LABEL) - 1, (const uint8_t *)SECRET_LABEL);
		hmac_sha256_update(&hmac, len, data);
		hmac_sha256_digest(&hmac, SECRET_SIZE, out);
		explicit_bzero(&hmac, sizeof(hmac));
	}
	explicit_bzero(data, sizeof(data));
	return rc;
}

int secret_load(const char *path, uint8_t out[static SECRET_SIZE], char *err, size_t err_size)
{
	/* who names a FIFO gets told, not stuck */
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = open(path, flags), rc;

	if (fd < 0 && errno == ENOENT) {
		rc = make_file(path);
		if (rc < 0)
			return complain(err, err_size, -rc, path,
					"it does not exist and cannot be made: "
					"name a file in a directory that dtlsd may write");
		fd = open(path, flags);
	}
	if (fd < 0)
		return complain(err, err_size, errno, path, "name a file that dtlsd may read");
	rc = take(fd, path, out, err, err_size);
	close(fd);
	return rc;
}

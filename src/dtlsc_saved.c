/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsc_saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nettle/sha2.h>

#define SESSION_MAGIC "dtlsc session 1"
#define SESSION_FILE_MAX (64 * 1024)

/*
 * The file is a header line, the SHA-256 digest of header and session, and the session as GnuTLS exports it.
 * GnuTLS asserts that what it is given back is well-formed (with 3.7.9 an extension of an unknown number ends
 * the process), so a damaged session must not come to it.
 */
enum content {
	CONTENT_SESSION,
	CONTENT_STRANGE, /* nothing that we have written */
	CONTENT_OTHERS,  /* for another server or identity */
	CONTENT_DAMAGED
};

static int read_file(const char *path, char *buffer, size_t *len)
{
	FILE *file = fopen(path, "re");
	int ret = 0;

	if (file == NULL)
		return -errno;
	*len = fread(buffer, 1, SESSION_FILE_MAX, file);
	if (ferror(file))
		ret = -EIO;
	fclose(file);
	return ret;
}

/* What a session may be resumed for: the server, and who we were when it was made. NULL: no memory. */
static char *session_header(const struct cred *cred, const struct dtlsc_options *o)
{
	char *header = NULL;

	if (asprintf(&header, SESSION_MAGIC " %s %s psk=%s certificate=%s\n", cred->name, o->port,
		     o->pskusername != NULL ? o->pskusername : "",
		     o->certfile != NULL ? o->certfile : "") < 0)
		return NULL;
	return header;
}

static void make_digest(const char *header, const void *session, size_t len,
			uint8_t out[static SHA256_DIGEST_SIZE])
{
	struct sha256_ctx sha256;

	sha256_init(&sha256);
	sha256_update(&sha256, strlen(header), (const uint8_t *)header);
	sha256_update(&sha256, len, session);
	sha256_digest(&sha256, SHA256_DIGEST_SIZE, out);
}

static bool begins(const char *data, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(data, with, strlen(with)) == 0;
}

/* session is then a part of data. */
static enum content find_session(const char *header, const char *data, size_t len, const char **session,
				 size_t *session_len)
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	size_t before = strlen(header) + sizeof(digest);

	if (!begins(data, len, SESSION_MAGIC " "))
		return CONTENT_STRANGE;
	if (!begins(data, len, header))
		return CONTENT_OTHERS;
	if (len < before)
		return CONTENT_DAMAGED;
	*session = data + before;
	*session_len = len - before;
	make_digest(header, *session, *session_len, digest);
	return memcmp(data + strlen(header), digest, sizeof(digest)) == 0 ? CONTENT_SESSION : CONTENT_DAMAGED;
}

static void use_content(const char *path, const char *header, const char *data, size_t len,
			gnutls_session_t tls, struct console *console)
{
	const char *session;
	size_t session_len;
	int ret;

	switch (find_session(header, data, len, &session, &session_len)) {
	case CONTENT_SESSION:
		ret = gnutls_session_set_data(tls, session, session_len);
		if (ret != 0)
			console_note(console, "--session-file %s: %s: a full handshake", path,
				     gnutls_strerror(ret));
		break;
	case CONTENT_STRANGE:
		console_note(console, "--session-file %s: not a session of dtlsc: a full handshake", path);
		break;
	case CONTENT_OTHERS:
		console_detail(console,
			       "--session-file %s: for another server or identity: a full handshake", path);
		break;
	case CONTENT_DAMAGED:
		console_note(console, "--session-file %s: damaged: a full handshake", path);
		break;
	}
}

void saved_session_load(const struct cred *cred, const struct dtlsc_options *o, gnutls_session_t tls,
			struct console *console)
{
	const char *path = o->session_file;
	char *header = session_header(cred, o);
	char *buffer = malloc(SESSION_FILE_MAX);
	size_t len = 0;
	int ret = -ENOMEM;

	if (header != NULL && buffer != NULL)
		ret = read_file(path, buffer, &len);
	if (ret == 0)
		use_content(path, header, buffer, len, tls, console);
	else if (ret == -ENOENT)
		console_detail(console, "--session-file %s: not there yet: a full handshake", path);
	else
		console_note(console, "--session-file %s: %s: a full handshake", path, strerror(-ret));
	if (buffer != NULL)
		explicit_bzero(buffer, SESSION_FILE_MAX);
	free(buffer);
	free(header);
}

static int write_content(FILE *file, const char *header, const gnutls_datum_t *session)
{
	uint8_t digest[SHA256_DIGEST_SIZE];

	make_digest(header, session->data, session->size, digest);
	if (fputs(header, file) < 0 || fwrite(digest, 1, sizeof(digest), file) != sizeof(digest) ||
	    fwrite(session->data, 1, session->size, file) != session->size || fflush(file) != 0)
		return -errno;
	return 0;
}

static int write_file(const char *path, const char *header, const gnutls_datum_t *session)
{
	char *temporary = NULL;
	FILE *file = NULL;
	int ret, fd;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd >= 0)
		file = fdopen(fd, "w");
	if (file != NULL) {
		ret = write_content(file, header, session);
		fclose(file);
		if (ret == 0 && rename(temporary, path) != 0)
			ret = -errno;
	} else {
		ret = -errno;
		if (fd >= 0)
			close(fd);
	}
	if (fd >= 0 && ret != 0)
		unlink(temporary);
	free(temporary);
	return ret;
}

void saved_session_save(const struct cred *cred, const struct dtlsc_options *o, gnutls_session_t tls,
			struct console *console)
{
	const char *path = o->session_file;
	char *header = session_header(cred, o);
	gnutls_datum_t data = {0};
	struct stat st;
	int ret = gnutls_session_get_data2(tls, &data);

	/* The file is replaced by renaming: never do that to a device. */
	if (header == NULL || ret != 0)
		console_note(console, "--session-file %s: not saved: %s", path,
			     ret != 0 ? gnutls_strerror(ret) : strerror(ENOMEM));
	else if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		console_note(console, "--session-file %s: not saved: not a regular file", path);
	else if ((ret = write_file(path, header, &data)) != 0)
		console_note(console, "--session-file %s: not saved: %s", path, strerror(-ret));
	if (data.data != NULL)
		explicit_bzero(data.data, data.size);
	gnutls_free(data.data);
	free(header);
}

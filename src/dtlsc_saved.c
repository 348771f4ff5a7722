/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsc_saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SESSION_MAGIC "dtlsc session 1"
#define SESSION_FILE_MAX (64 * 1024)

static int read_session(const char *path, char *buffer, size_t *len)
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

static void use_session(const char *path, const char *header, const char *data, size_t len,
			gnutls_session_t tls, struct console *console)
{
	size_t header_len = strlen(header);
	int ret;

	if (len < strlen(SESSION_MAGIC) || memcmp(data, SESSION_MAGIC, strlen(SESSION_MAGIC)) != 0) {
		console_note(console, "--session-file %s: not a session of dtlsc: a full handshake", path);
	} else if (len <= header_len || memcmp(data, header, header_len) != 0) {
		console_detail(console,
			       "--session-file %s: for another server or identity: a full handshake", path);
	} else {
		ret = gnutls_session_set_data(tls, data + header_len, len - header_len);
		if (ret != 0)
			console_note(console, "--session-file %s: %s: a full handshake", path,
				     gnutls_strerror(ret));
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
		ret = read_session(path, buffer, &len);
	if (ret == 0)
		use_session(path, header, buffer, len, tls, console);
	else if (ret == -ENOENT)
		console_detail(console, "--session-file %s: not there yet: a full handshake", path);
	else
		console_note(console, "--session-file %s: %s: a full handshake", path, strerror(-ret));
	if (buffer != NULL)
		explicit_bzero(buffer, SESSION_FILE_MAX);
	free(buffer);
	free(header);
}

static int write_session(const char *path, const char *header, const gnutls_datum_t *data)
{
	char *temporary = NULL;
	int ret = 0;
	int fd;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
	} else {
		FILE *file = fdopen(fd, "w");

		if (file == NULL) {
			ret = -errno;
			close(fd);
		} else {
			fputs(header, file);
			fwrite(data->data, 1, data->size, file);
			if (fflush(file) != 0)
				ret = -errno;
			fclose(file);
		}
		if (ret == 0 && rename(temporary, path) != 0)
			ret = -errno;
		if (ret != 0)
			unlink(temporary);
	}
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
	else if ((ret = write_session(path, header, &data)) != 0)
		console_note(console, "--session-file %s: not saved: %s", path, strerror(-ret));
	if (data.data != NULL)
		explicit_bzero(data.data, data.size);
	gnutls_free(data.data);
	free(header);
}

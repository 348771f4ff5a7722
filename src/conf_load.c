/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf_load.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_file.h"

/* A file that was read or is to be read. */
struct file {
	const char *path;        /* kept by conf */
	struct conf_place place; /* of its include */
	dev_t dev;
	ino_t ino;
};

struct load {
	struct conf *conf;
	struct file *files;
	unsigned count;
	char *err;
	size_t err_size;
};

__attribute__((format(printf, 4, 5)))
static int fail(const struct load *l, int rc, const struct conf_place *place, const char *fmt, ...)
{
	char where[CONF_PLACE_TEXT], what[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(l->err, l->err_size, "%s%s", conf_place_text(place, where), what);
	return rc;
}

static int fail_file(const struct load *l, const struct file *f, int error)
{
	const char *advice = error == EISDIR ? "name a file; to read all of a directory, include it there" :
			     error == EFBIG ? "it may have 1 MiB: is it the right one?" :
			     "check the path and that dtlsd's user may read it";

	return fail(l, -error, &f->place, "%s: cannot read the configuration: %s; %s", f->path, strerror(error),
		    advice);
}

/* ---- which files ---- */

/* A file that comes twice is a loop, or its services would be there twice. */
static int check_new(const struct load *l, const struct file *f)
{
	char first[CONF_PLACE_TEXT];

	for (unsigned i = 0; i < l->count; i++) {
		const struct file *other = &l->files[i];

		if (other->dev != f->dev || other->ino != f->ino)
			continue;
		if (!other->place.line)
			return fail(l, -ELOOP, &f->place, "include: %s is the file that all began with: leave it out",
				    f->path);
		return fail(l, -ELOOP, &f->place, "include: %s is included already, at %sleave one of them out",
			    f->path, conf_place_text(&other->place, first));
	}
	if (l->count == CONF_LOAD_FILES_MOST)
		return fail(l, -E2BIG, &f->place, "include: more than %d files: join some", CONF_LOAD_FILES_MOST);
	return 0;
}

static int add_file(struct load *l, const char *path, struct conf_place place)
{
	struct file f = { .path = conf_keep(l->conf, path), .place = place }, *more;
	struct stat st;
	int rc;

	more = reallocarray(l->files, l->count + 1, sizeof(*more));
	if (more)
		l->files = more;
	if (!more || !f.path)
		return fail(l, -ENOMEM, &place, "out of memory");
	if (stat(path, &st) < 0)
		return fail_file(l, &f, errno);
	f.dev = st.st_dev;
	f.ino = st.st_ino;
	rc = check_new(l, &f);
	if (rc == 0)
		l->files[l->count++] = f;
	return rc;
}

static bool is_pattern(const char *path)
{
	return strpbrk(path, "*?[") != NULL;
}

/* A directory that is not there matches nothing. */
static int unreadable(const char *path, int error)
{
	(void)path;
	return error != ENOENT && error != ENOTDIR;
}

static int add_pattern(struct load *l, const char *pattern, struct conf_place place)
{
	glob_t found = { .gl_pathc = 0 };
	int rc = 0;

	switch (glob(pattern, 0, unreadable, &found)) {
	case 0:
		for (size_t i = 0; i < found.gl_pathc && rc == 0; i++)
			rc = add_file(l, found.gl_pathv[i], place);
		break;
	case GLOB_NOMATCH:
		break;
	case GLOB_NOSPACE:
		rc = fail(l, -ENOMEM, &place, "out of memory");
		break;
	default:
		rc = fail(l, -EACCES, &place,
			  "include: %s: cannot read the directory; check that dtlsd's user may read it", pattern);
	}
	globfree(&found);
	return rc;
}

/* A directory's name may hold what a pattern is made of. */
static int add_directory(struct load *l, const char *path, struct conf_place place)
{
	char *pattern = calloc(2 * strlen(path) + sizeof("/*.conf"), 1), *out = pattern;
	int rc;

	if (!pattern)
		return fail(l, -ENOMEM, &place, "out of memory");
	for (; *path; path++) {
		if (strchr("*?[\\", *path))
			*out++ = '\\';
		*out++ = *path;
	}
	strcpy(out, "/*.conf");
	rc = add_pattern(l, pattern, place);
	free(pattern);
	return rc;
}

static int on_include(void *ctx, const char *what, struct conf_place place)
{
	struct load *l = ctx;
	const char *path = conf_file_relative(l->conf, place.file, what);
	struct stat st;

	if (!path)
		return fail(l, -ENOMEM, &place, "out of memory");
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? add_directory(l, path, place) : add_file(l, path, place);
	if (is_pattern(path))
		return add_pattern(l, path, place);
	return add_file(l, path, place); /* which says what is wrong with it */
}

/* ---- reading ---- */

/* All of it, at most CONF_LOAD_SIZE_MOST bytes. The length, or -errno. */
static ssize_t read_text(const char *path, char *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t len = 0, n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, text + len, (size_t)(CONF_LOAD_SIZE_MOST + 1 - len));
		if (n > 0)
			len += n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	} while (n > 0 && len <= CONF_LOAD_SIZE_MOST);
	if (n < 0)
		len = -errno;
	close(fd);
	return len > CONF_LOAD_SIZE_MOST ? -EFBIG : len;
}

static int read_file(struct load *l, unsigned index, char *text)
{
	const struct file f = l->files[index]; /* the array grows with what it includes */
	ssize_t len = read_text(f.path, text);

	if (len < 0)
		return fail_file(l, &f, (int)-len);
	return conf_file_parse(l->conf, f.path, text, (size_t)len, on_include, l, l->err, l->err_size);
}

int conf_load(struct conf *c, const char *path, char *err, size_t err_size)
{
	struct load l = { .conf = c, .err = err, .err_size = err_size };
	char *text = malloc(CONF_LOAD_SIZE_MOST + 1);
	int rc;

	rc = text ? add_file(&l, path, (struct conf_place){ NULL, 0 }) :
	     fail(&l, -ENOMEM, &(struct conf_place){ NULL, 0 }, "out of memory");
	for (unsigned i = 0; i < l.count && rc == 0; i++)
		rc = read_file(&l, i, text);
	free(text);
	free(l.files);
	return rc;
}

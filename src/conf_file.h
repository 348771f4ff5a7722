/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_file: the text of one configuration file as part of a struct conf. The grammar is libconfuse's, the
 * names and values are those of setting.c. Pure but for the look-up of host names; one thread at a time:
 * libconfuse's scanner is one for the process.
 */
#ifndef DTLSD_CONF_FILE_H
#define DTLSD_CONF_FILE_H

#include <stddef.h>

#include "conf.h"

/*
 * Adds to c, which has its presets, what the text says that was read from path. Paths in it are relative to
 * the directory of path. include(ctx, what, place) is called with what each include names, as it stands
 * there; less than 0 ends the reading. 0, or -errno with err saying "FILE:LINE: what, and what to do" (but
 * where include ended it).
 */
int conf_file_parse(struct conf *c, const char *path, const char *text, size_t len,
		    int (*include)(void *ctx, const char *what, struct conf_place place), void *ctx, char *err,
		    size_t err_size);

/* name as it stands in the file path, relative to the directory of that. Kept by c; NULL: out of memory. */
const char *conf_file_relative(struct conf *c, const char *path, const char *name);

#endif

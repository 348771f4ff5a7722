/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_load: dtlsd.conf and all that it includes, from the disk. include = "NAME" names a file, a directory, of
 * which all *.conf are read in the order of their names, or a pattern; what is included is read after the file
 * that includes it. Every file is read once.
 */
#ifndef DTLSD_CONF_LOAD_H
#define DTLSD_CONF_LOAD_H

#include <stddef.h>

#include "conf.h"

#define CONF_LOAD_SIZE_MOST (1 << 20) /* bytes of one file, as the message says */
#define CONF_LOAD_FILES_MOST 1000

/* Adds to c, which has its presets. 0, or -errno with err saying "FILE:LINE: what, and what to do". */
int conf_load(struct conf *c, const char *path, char *err, size_t err_size);

#endif
